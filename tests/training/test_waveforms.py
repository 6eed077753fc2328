from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.utterance import Utterance
from quantkit.errors import CorpusError
from quantkit.training.waveforms import WaveformStore


def _write(path: Path, level: float) -> Utterance:
    soundfile.write(path, np.full(1_600, level), 16_000)
    return Utterance(path, "a")


def test_decoded_once(tmp_path: Path) -> None:
    clip = _write(tmp_path / "a.wav", 0.25)
    decoded: list[int] = []
    for _ in range(2):
        store = WaveformStore([clip], tmp_path / "audio", 16_000, decoded.append)
        np.testing.assert_allclose(store[clip], 0.25, atol=1e-4)
    assert decoded == [1]


def test_a_clip_that_was_replaced_by_one_of_the_same_size_is_heard_anew(tmp_path: Path) -> None:
    clip = _write(tmp_path / "a.wav", 0.25)
    before = (tmp_path / "a.wav").stat()
    WaveformStore([clip], tmp_path / "audio", 16_000)
    _write(tmp_path / "a.wav", 0.5)
    assert (tmp_path / "a.wav").stat().st_size == before.st_size
    os.utime(tmp_path / "a.wav", ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    store = WaveformStore([clip], tmp_path / "audio", 16_000)
    np.testing.assert_allclose(store[clip], 0.5, atol=1e-4)


def test_what_cannot_be_decoded_is_kept_with_its_reason(tmp_path: Path) -> None:
    good = _write(tmp_path / "a.wav", 0.25)
    (tmp_path / "b.wav").write_text("no sound")
    bad, missing = Utterance(tmp_path / "b.wav", "b"), Utterance(tmp_path / "c.wav", "c")
    store = WaveformStore([good, bad, missing], tmp_path / "audio", 16_000)
    assert good in store
    assert bad not in store
    assert "not audio" in store.problem_of(bad)
    assert "No such file" in store.problem_of(missing)
    assert store.problem_of(good) == ""
    assert store.unreadable == [store.problem_of(bad), store.problem_of(missing)]


def test_no_clip_at_all_is_an_error_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "b.wav").write_text("no sound")
    with pytest.raises(CorpusError, match=r"none of 1 clips.*b\.wav is not audio"):
        WaveformStore([Utterance(tmp_path / "b.wav", "b")], tmp_path / "audio", 16_000)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"clips": [], "unreadable": []}'])
def test_a_damaged_index_counts_as_missing(tmp_path: Path, damage: bytes) -> None:
    clip = _write(tmp_path / "a.wav", 0.25)
    WaveformStore([clip], tmp_path / "audio", 16_000)
    next((tmp_path / "audio").glob("*.json")).write_bytes(damage)
    np.testing.assert_allclose(
        WaveformStore([clip], tmp_path / "audio", 16_000)[clip], 0.25, atol=1e-4
    )


def test_samples_that_were_cut_off_are_decoded_anew(tmp_path: Path) -> None:
    clips = [_write(tmp_path / f"{level}.wav", level) for level in (0.25, 0.5)]
    WaveformStore(clips, tmp_path / "audio", 16_000)
    samples = next((tmp_path / "audio").glob("*.i16"))
    samples.write_bytes(samples.read_bytes()[:4_000])
    store = WaveformStore(clips, tmp_path / "audio", 16_000)
    assert [store[clip].size for clip in clips] == [1_600, 1_600]
