"""Files of plain samples that were cut off: an error, or a warning where little is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.decode import read_audio
from quantkit.errors import AudioError

RATE = 16_000
NOISE = 0.3 * np.random.default_rng(0).uniform(-1.0, 1.0, 2 * RATE).astype(np.float32)

FORMS = [
    ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"),
    ("AU", "PCM_16"),
    ("AU", "ULAW"),
    ("CAF", "PCM_16"),
    ("W64", "PCM_16"),
    ("W64", "MS_ADPCM"),
    ("NIST", "PCM_16"),
    ("NIST", "ULAW"),
    ("VOC", "PCM_16"),
]


def made(tmp_path: Path, form: str, subtype: str) -> tuple[Path, bytes]:
    path = tmp_path / "clip"
    soundfile.write(path, NOISE, RATE, subtype, format=form)
    return path, path.read_bytes()


@pytest.mark.parametrize(("form", "subtype"), FORMS)
def test_more_than_a_little_is_an_error(tmp_path: Path, form: str, subtype: str) -> None:
    path, content = made(tmp_path, form, subtype)
    for share in (0.2, 0.6, 0.93):
        path.write_bytes(content[: round(share * len(content))])
        with pytest.raises(AudioError, match=r"is cut off: .* could be decoded"):
            read_audio(path)


@pytest.mark.parametrize(("form", "subtype"), FORMS)
def test_a_little_is_a_warning(
    tmp_path: Path, form: str, subtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, content = made(tmp_path, form, subtype)
    whole = read_audio(path)
    path.write_bytes(content[: len(content) - 600])
    left = read_audio(path)
    assert 0.9 * whole.size < left.size < whole.size
    np.testing.assert_array_equal(left, whole[: left.size])
    assert "it is cut off" in caplog.text


@pytest.mark.parametrize(("form", "subtype"), FORMS)
def test_a_whole_file_is_no_news(
    tmp_path: Path, form: str, subtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, _ = made(tmp_path, form, subtype)
    assert read_audio(path).size >= NOISE.size
    assert caplog.text == ""


def test_headers_that_promise_nothing_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    heads = (
        b"FORM\0\0\0\0AIFF",
        b".snd",
        b"caff\0\1",
        b"riff",
        b"NIST_1A\n  none\n",
        b"Creative Voice F",
    )
    for head in heads:
        for rest in (b"", bytes(7), b"\xff" * 60):
            path.write_bytes(head + rest)
            with pytest.raises(AudioError):
                read_audio(path)
