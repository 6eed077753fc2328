"""A job is named by what its artifact is made of, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.audio.corpora import open_corpus
from quantkit.codecs.catalogue import CodecChoice
from quantkit.fleets.content import audio_digest, job_name, model_digest, settings_digest
from quantkit.quantization.prepared import PreparedModel
from tests.api.small import clips, write_clips
from tests.fleets.small import SETTINGS, write_model


def test_clips_may_be_called_anything_and_lie_anywhere(tmp_path: Path) -> None:
    write_clips(tmp_path / "a", clips(2))
    write_clips(tmp_path / "b", clips(2))
    (tmp_path / "b" / "01.wav").rename(tmp_path / "b" / "last.wav")
    one, other = (open_corpus(tmp_path / name) for name in "ab")
    assert audio_digest(one) == audio_digest(other)
    assert audio_digest(one) != audio_digest(one.sample(1))
    assert audio_digest(one) != audio_digest(one.spoken_in("de"))
    content = bytearray((tmp_path / "b" / "00.wav").read_bytes())
    content[-1] ^= 1
    (tmp_path / "b" / "00.wav").write_bytes(content)
    assert audio_digest(one) != audio_digest(other)


def test_a_clip_that_went_is_no_error(tmp_path: Path) -> None:
    write_clips(tmp_path / "a", clips(2))
    corpus = open_corpus(tmp_path / "a")
    before = audio_digest(corpus)
    (tmp_path / "a" / "00.wav").unlink()
    assert audio_digest(corpus) != before


def test_a_model_is_its_numbers_and_its_metadata(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    (tmp_path / "other").mkdir()
    other = write_model(tmp_path / "other", width=32)
    assert model_digest(PreparedModel(path)) == model_digest(PreparedModel(path))
    assert model_digest(PreparedModel(path)) != model_digest(PreparedModel(other))


@pytest.mark.parametrize(
    "changed",
    [
        {"rounds": 1},
        {"candidates": (CodecChoice.parse("int8"),)},
        {"quantize": replace(SETTINGS.quantize, activation_bits=7)},
        {"fitting": replace(SETTINGS.fitting, rounding="nearest")},
        {"max_input_divergence": float("inf")},
    ],
)
def test_every_setting_counts(changed) -> None:
    assert settings_digest(replace(SETTINGS, **changed)) != settings_digest(SETTINGS)
    assert settings_digest(replace(SETTINGS)) == settings_digest(SETTINGS)


def test_a_name_has_all_ingredients(monkeypatch: pytest.MonkeyPatch) -> None:
    name = job_name("m", "a", 3, "s")
    others = [job_name("n", "a", 3, "s"), job_name("m", "b", 3, "s")]
    others += [job_name("m", "a", 4, "s"), job_name("m", "a", 3, "t")]
    monkeypatch.setattr("quantkit.fleets.content.versions", lambda: {"quantkit": "0"})
    others.append(job_name("m", "a", 3, "s"))
    assert len({name, *others}) == 6
    assert len(name) == 32
