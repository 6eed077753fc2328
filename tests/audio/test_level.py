"""What is silent, and what is noise or a tone by its level alone."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.arrays import FloatArray
from quantkit.audio.level import is_steady, require_sound
from quantkit.errors import AudioError

RATE = 16_000
RANDOM = np.random.default_rng(0)


def syllables(loudness: float = 0.1) -> FloatArray:
    """Noise whose level goes up and down by 20 dB, four times a second."""
    time = np.arange(3 * RATE) / RATE
    envelope = 10.0 ** (np.sin(8 * np.pi * time) / 2)
    return np.asarray(loudness * envelope * RANDOM.normal(size=time.size), np.float32)


@pytest.mark.parametrize(
    ("waveform", "why"),
    [
        (np.zeros(RATE), "all samples are 0"),
        (np.full(RATE, 0.25), "all samples are equal"),
        (RANDOM.integers(-1, 2, RATE) / 2.0**15, "its level is -92 dB of full scale"),
        (0.25 + RANDOM.normal(0, 1e-5, RATE), "its level is -100 dB of full scale"),
    ],
)
def test_silence_is_refused(waveform: FloatArray, why: str) -> None:
    with pytest.raises(AudioError, match=f"it is silent: {why}"):
        require_sound(waveform.astype(np.float32))


@pytest.mark.parametrize("decibels", [0, -30, -50])
def test_quiet_speech_is_sound(decibels: int) -> None:
    quiet = syllables() * np.float32(10 ** (decibels / 20))
    require_sound(quiet)
    assert not is_steady(quiet)
    # As a file of 16 bits would hold it.
    require_sound((np.round(quiet * 2**15) / 2**15).astype(np.float32))


@pytest.mark.parametrize(
    "waveform",
    [
        RANDOM.normal(0, 0.1, RATE),
        RANDOM.uniform(-0.5, 0.5, RATE),
        np.sin(2 * np.pi * 50 * np.arange(RATE) / RATE),
        np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE),
    ],
    ids=["white", "uniform", "hum", "tone"],
)
def test_noise_and_tones_are_steady_at_any_level(waveform: FloatArray) -> None:
    assert is_steady(waveform.astype(np.float32))
    assert is_steady((1e-3 * waveform).astype(np.float32))


def test_a_clip_too_short_to_tell_is_not_called_steady() -> None:
    assert not is_steady(RANDOM.normal(0, 0.1, 3_000).astype(np.float32))
