from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantkit.training.keywords.augment import augment_clip, fitted
from quantkit.training.keywords.recipe import AugmentSettings

_RATE = 16_000
_OFF = AugmentSettings(
    speed=0.0,
    shift_seconds=0.0,
    noise_probability=0.0,
    equalizer=0.0,
    time_masks=0,
    frequency_masks=0,
)


def _tone(hertz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(_RATE) / _RATE).astype(np.float32)


def _augmented(waveform: np.ndarray, seed: int = 0, **settings: float) -> np.ndarray:
    chosen = replace(_OFF, **settings)
    return augment_clip(waveform, _RATE, chosen, (), np.random.default_rng(seed))


def _decibels(part: np.ndarray, whole: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(part**2) / np.mean(whole**2)))


def test_without_augmentation_a_clip_stays_as_it_is() -> None:
    np.testing.assert_allclose(_augmented(_tone(500)), _tone(500), atol=1e-5)


def test_the_length_never_changes_nor_does_the_original() -> None:
    waveform = _tone(500)
    for seed in range(8):
        augmented = augment_clip(
            waveform, _RATE, AugmentSettings(), [_tone(90)], np.random.default_rng(seed)
        )
        assert (augmented.size, augmented.dtype) == (waveform.size, np.float32)
    np.testing.assert_array_equal(waveform, _tone(500))


def test_speed_changes_pitch() -> None:
    spectrum = np.abs(np.fft.rfft(_augmented(_tone(1_000), speed=0.15)))
    peak = int(spectrum.argmax())
    assert 850 <= peak <= 1_150
    assert peak != 1_000


def test_a_shift_moves_a_click_by_no_more_than_allowed() -> None:
    click = np.zeros(_RATE, np.float32)
    click[8_000] = 1.0
    places = [int(_augmented(click, seed, shift_seconds=0.1).argmax()) for seed in range(20)]
    assert len(set(places)) > 10
    assert max(abs(place - 8_000) for place in places) <= 1_600


@pytest.mark.parametrize("backgrounds", [(), (_tone(90),)])
def test_noise_keeps_the_ratio_that_was_asked_for(backgrounds: tuple[np.ndarray, ...]) -> None:
    settings = replace(_OFF, noise_probability=1.0, loudest_noise=5.0, quietest_noise=15.0)
    for seed in range(8):
        noisy = augment_clip(_tone(500), _RATE, settings, backgrounds, np.random.default_rng(seed))
        assert -15.1 < _decibels(noisy - _tone(500), _tone(500)) < -4.9


def test_noise_never_divides_by_a_silent_background() -> None:
    settings = replace(_OFF, noise_probability=1.0)
    nothing = np.zeros(_RATE, np.float32)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        assert np.isfinite(augment_clip(_tone(500), _RATE, settings, [nothing], rng)).all()


def test_the_equalizer_stays_within_its_gains() -> None:
    for hertz in (200, 1_000, 4_000):
        assert abs(_decibels(_augmented(_tone(hertz), equalizer=6.0), _tone(hertz))) <= 6.01


def test_masks_silence_a_stretch_and_a_part_of_the_spectrum() -> None:
    noise = np.random.default_rng(1).standard_normal(_RATE).astype(np.float32)
    stretches = [_augmented(noise, seed, time_masks=1, time_width=0.1) for seed in range(8)]
    zeros = [np.flatnonzero(stretch == 0.0) for stretch in stretches]
    assert 800 < max(map(len, zeros)) <= 1_600
    assert all(np.all(np.diff(places) == 1) for places in zeros)
    masked = _augmented(noise, frequency_masks=1, frequency_width=400.0)
    silent = np.flatnonzero(np.abs(np.fft.rfft(masked)) < 1e-3)
    assert silent.size
    assert np.all(np.diff(silent) == 1)


def test_fitting_cuts_and_pads_around_the_middle() -> None:
    clip = np.arange(1, 7, dtype=np.float32)
    assert fitted(clip, 2).tolist() == [3.0, 4.0]
    assert fitted(clip, 8).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0]
    assert fitted(clip, 2, offset=3).tolist() == [6.0, 0.0]
    assert fitted(clip, 2, offset=9).tolist() == [0.0, 0.0]
