from __future__ import annotations

import numpy as np

from quantkit.training.augment import augment_waveform, mask_features, mask_waveform
from quantkit.training.recipe import AugmentSettings


def _tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(16_000 * seconds)) / 16_000).astype(np.float32)


def test_speed_changes_duration_and_pitch_together() -> None:
    settings = AugmentSettings(speed=0.2)
    faster = augment_waveform(_tone(500), 16_000, settings, np.random.default_rng(3))
    ratio = 16_000 / faster.size
    peak = np.argmax(np.abs(np.fft.rfft(faster))) * 16_000 / faster.size
    assert 0.8 < ratio < 1.2
    assert abs(ratio - 1) > 0.01
    assert abs(peak - 500 * ratio) < 5


def test_noise_is_10_to_40_decibels_below_the_speech() -> None:
    settings = AugmentSettings(speed=0.0, noise_probability=1.0)
    clean = _tone(500)
    for seed in range(8):
        noise = augment_waveform(clean, 16_000, settings, np.random.default_rng(seed)) - clean
        decibels = 10 * np.log10(np.mean(clean**2) / np.mean(noise**2))
        assert 9.5 < decibels < 40.5


def test_a_recipe_sets_how_loud_the_noise_is() -> None:
    settings = AugmentSettings(
        speed=0.0, noise_probability=1.0, loudest_noise=-3.0, quietest_noise=-3.0
    )
    clean = _tone(500)
    noise = augment_waveform(clean, 16_000, settings, np.random.default_rng(0)) - clean
    assert abs(10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) + 3.0) < 0.5


def test_some_clips_are_heard_in_a_room() -> None:
    settings = AugmentSettings(speed=0.0, room_probability=0.5)
    clean = _tone(500)
    changed = [
        not np.array_equal(clean, augment_waveform(clean, 16_000, settings, rng))
        for rng in map(np.random.default_rng, range(40))
    ]
    assert 10 <= sum(changed) <= 30


def test_silence_gets_no_noise_and_stays_finite() -> None:
    settings = AugmentSettings(noise_probability=1.0, padding_seconds=0.1)
    silence = np.zeros(8_000, np.float32)
    assert not augment_waveform(silence, 16_000, settings, np.random.default_rng(0)).any()


def test_masks_hide_whole_frames_and_bands_and_leave_the_original_alone() -> None:
    features = np.ones((500, 40), np.float32)
    settings = AugmentSettings(time_masks=4, time_width=30, frequency_masks=2, frequency_width=6)
    masked = mask_features(features, settings, np.random.default_rng(1))
    hidden_bands = (masked == 0).all(axis=0)
    hidden_frames = (masked == 0).all(axis=1)
    assert hidden_frames.any()
    assert 0 < hidden_bands.sum() <= 12
    rest = masked[~hidden_frames][:, ~hidden_bands]
    assert (rest == 1).all()
    assert (features == 1).all()


def test_no_time_mask_covers_more_than_a_fifth_of_a_short_word() -> None:
    features = np.ones((20, 40), np.float32)
    settings = AugmentSettings(time_masks=2, time_width=100, frequency_masks=0)
    for seed in range(20):
        masked = mask_features(features, settings, np.random.default_rng(seed))
        assert (masked == 0).all(axis=1).sum() <= 4


def test_masks_over_samples_silence_intervals_of_whole_frames() -> None:
    settings = AugmentSettings(time_masks=3, time_width=20, frequency_masks=0)
    clean = np.ones(16_005, np.float32)
    masked = mask_waveform(clean, 16_000, settings, np.random.default_rng(1))
    assert masked.shape == clean.shape
    assert 0 < np.count_nonzero(masked == 0) <= 3 * 20 * 160
    (edges,) = np.nonzero(np.diff(masked))
    assert ((edges + 1) % 160 == 0).all()
    assert (clean == 1).all()


def test_masks_over_samples_silence_bands_of_the_spectrum() -> None:
    settings = AugmentSettings(time_masks=0, time_width=0, frequency_masks=1, frequency_width=20)
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    masked = mask_waveform(noise, 16_000, settings, np.random.default_rng(2))
    before, after = (np.abs(np.fft.rfft(each)) for each in (noise, masked))
    silenced = after < 1e-2 * before
    assert 0 < silenced.sum() < before.size / 2
    (bins,) = np.nonzero(silenced)
    assert bins[-1] - bins[0] + 1 == bins.size
    assert np.allclose(after[~silenced], before[~silenced], rtol=1e-3, atol=1e-2)


def test_bands_of_a_clip_of_any_length_are_silenced() -> None:
    settings = AugmentSettings(time_masks=0, time_width=0, frequency_masks=1, frequency_width=0)
    clean = _tone(500)[:-3]
    masked = mask_waveform(clean, 16_000, settings, np.random.default_rng(0))
    assert masked.shape == clean.shape
    assert np.allclose(masked, clean, atol=1e-6)


def test_a_clip_is_left_alone_without_masks() -> None:
    settings = AugmentSettings(time_masks=0, time_width=0, frequency_masks=0)
    clean = _tone(500)
    assert np.array_equal(mask_waveform(clean, 16_000, settings, np.random.default_rng(0)), clean)
