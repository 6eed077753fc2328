"""What is known of a clip from its corpus, its audio and its text."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.utterance import Utterance
from quantkit.errors import InputError
from quantkit.slices.by import parse_by
from quantkit.slices.properties import properties_of, require_possible


def clip(level: float = 0.1) -> Utterance:
    generator = np.random.default_rng(0)
    loud, quiet = generator.normal(0, level, 16_000), generator.normal(0, level / 100, 4_000)
    waveform = np.concatenate((loud, quiet)).astype(np.float32)
    return Utterance(
        None,
        name="clip",
        language="de",
        waveform=waveform,
        sample_rate=16_000,
        columns={"accent": "at"},
    )


def test_columns_are_named_and_audio_is_measured() -> None:
    found = properties_of(clip(), "zehn", sound=True)
    assert found.named == {"language": "de", "accent": "at"}
    assert found.measured["length"] == pytest.approx(1.25)
    assert found.measured["rate"] == pytest.approx(4 / 1.25)
    assert found.measured["level"] == pytest.approx(-20, abs=0.2)
    assert found.measured["noise"] == pytest.approx(40, abs=1)


def test_a_clip_ten_times_quieter_has_20_decibels_less_and_the_same_noise_ratio() -> None:
    loud, quiet = (properties_of(clip(level), None, sound=True).measured for level in (0.1, 0.01))
    assert loud["level"] - quiet["level"] == pytest.approx(20, abs=1e-3)
    assert loud["noise"] == pytest.approx(quiet["noise"], abs=1e-3)
    assert "rate" not in loud


def test_of_features_nothing_is_heard() -> None:
    features = Utterance(None, name="f", features=np.zeros((3, 40), np.float32))
    assert properties_of(features, "text", sound=True).measured == {}


def test_a_property_that_no_clip_can_have_is_refused_by_the_names_of_those_that_there_are() -> None:
    require_possible(parse_by("accent,words,noise"), [clip()])
    with pytest.raises(InputError, match="'gender'; --by takes accent, language, length, level, "):
        require_possible(parse_by("gender"), [clip()])
    silent = Utterance(None, name="f", features=np.zeros((3, 40), np.float32), seconds=1.0)
    require_possible(parse_by("rate"), [silent])
    with pytest.raises(InputError, match="'noise'"):
        require_possible(parse_by("noise"), [silent])
