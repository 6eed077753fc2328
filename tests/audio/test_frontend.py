"""The NumPy front end does what its docstring says, against a slow and separate computation."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

from quantkit.audio.frontend import Frontend
from quantkit.errors import AudioError, FormatError

FRONTEND = Frontend()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.1, samples).astype(np.float32)


def slow_log_mel(waveform: np.ndarray, frame: int, band: int) -> float:
    """One value of the log-mel spectrogram, term by term from the definition."""
    samples = [float(x) for x in waveform[160 * frame : 160 * frame + 400]]
    windowed = [x * math.sin(math.pi * n / 400) ** 2 for n, x in enumerate(samples)]

    def mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    step = (mel(7_600.0) - mel(20.0)) / 41
    lower, peak, upper = (mel(20.0) + (band + i) * step for i in range(3))
    total = 0.0
    for k in range(257):
        position = mel(k * 16_000 / 512)
        if lower < position <= peak:
            weight = (position - lower) / (peak - lower)
        elif peak < position < upper:
            weight = (upper - position) / (upper - peak)
        else:
            continue
        bin_value = sum(x * cmath.exp(-2j * math.pi * k * n / 512) for n, x in enumerate(windowed))
        total += weight * abs(bin_value) ** 2
    return math.log(total + 1e-5)


def test_values_agree_with_the_definition() -> None:
    waveform = noise(400 + 160 * 3)
    for band in (0, 1, 17, 39):
        column = np.array([slow_log_mel(waveform, frame, band) for frame in range(4)])
        expected = (column - column.mean()) / math.sqrt(column.var() + 1e-2)
        np.testing.assert_allclose(FRONTEND(waveform)[:, band], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "frames"), [(400, 1), (559, 1), (560, 2), (16_000, 98), (16_079, 98), (16_080, 99)]
)
def test_a_frame_lies_wholly_inside_the_clip(samples: int, frames: int) -> None:
    assert FRONTEND.frames_of(samples) == frames
    features = FRONTEND(noise(samples))
    assert features.shape == (frames, 40)
    assert features.dtype == np.float32


def test_what_is_too_short_for_a_frame_has_none() -> None:
    assert FRONTEND.frames_of(399) == 0
    with pytest.raises(AudioError, match="399 samples is shorter than one window"):
        FRONTEND(noise(399))


def test_a_hundred_frames_are_a_second() -> None:
    assert FRONTEND.seconds_of(100) == pytest.approx(1.0)


def test_silence_gives_zeros() -> None:
    np.testing.assert_allclose(FRONTEND(np.zeros(16_000, np.float32)), 0.0, atol=1e-9)


def test_a_tone_that_does_not_change_gives_nearly_zeros() -> None:
    # 100 Hz repeats after 160 samples, one hop: every frame is the same.
    waveform = np.sin(2 * np.pi * 100.0 * np.arange(16_000) / 16_000).astype(np.float32)
    assert np.abs(FRONTEND(waveform)).max() < 1e-2


@pytest.mark.parametrize("gain", [0.25, 3.0])
def test_loudness_does_not_matter(gain: float) -> None:
    waveform = noise(16_000)
    difference = np.abs(FRONTEND(waveform) - FRONTEND(np.float32(gain) * waveform))
    assert difference.max() < 0.02


def test_bands_are_normalised_over_the_clip() -> None:
    features = FRONTEND(noise(48_000)).astype(np.float64)
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-6)
    # The variance floor keeps it a little below one.
    assert np.all((features.std(axis=0) > 0.95) & (features.std(axis=0) <= 1.0))


def test_a_tone_peaks_in_the_band_that_holds_it() -> None:
    time = np.arange(16_000) / 16_000
    burst = np.where(time > 0.5, np.sin(2 * np.pi * 1_000.0 * time), 0.0) + 1e-3 * noise(16_000)
    change = FRONTEND(burst.astype(np.float32))
    loudest = int(np.argmax(slow_band_powers(1_000.0)))
    assert change[-10:, loudest].mean() > 0.9


def slow_band_powers(hertz: float) -> list[float]:
    """Weight of each triangular filter at one frequency."""

    def mel(value: float) -> float:
        return 2595.0 * math.log10(1.0 + value / 700.0)

    step = (mel(7_600.0) - mel(20.0)) / 41
    return [max(0.0, 1.0 - abs(mel(hertz) - mel(20.0) - (b + 1) * step) / step) for b in range(40)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(value: float) -> None:
    waveform = noise(1_000)
    waveform[500] = value
    with pytest.raises(AudioError, match="not finite"):
        FRONTEND(waveform)


def test_two_channels_are_refused() -> None:
    with pytest.raises(AudioError):
        FRONTEND(np.zeros((2, 16_000), np.float32))


class TestJson:
    def test_settings_survive(self) -> None:
        frontend = Frontend(sample_rate=8_000, window=200, hop=80, mel_bands=23, high_hz=3_800.0)
        assert Frontend.from_json(frontend.to_json()) == frontend

    @pytest.mark.parametrize(
        "text",
        ["", "[]", "3", "{}", '{"kind": "mfcc"}', '{"kind": "log-mel", "bands": 3}'],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(FormatError, match="front end"):
            Frontend.from_json(text)
