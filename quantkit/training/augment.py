"""Augmentation of one training clip: speed, room, noise on samples, masks on features."""

from __future__ import annotations

import numpy as np
import soxr

from quantkit.arrays import FloatArray
from quantkit.audio.augmentation.noise import noise_recordings, stretch_of
from quantkit.audio.augmentation.rooms import reverberated
from quantkit.training.recipe import AugmentSettings

_FRAMES_PER_MASK_BUDGET = 1_000
_PADDED_SHARE = 0.5


def augment_waveform(
    waveform: FloatArray, sample_rate: int, settings: AugmentSettings, rng: np.random.Generator
) -> FloatArray:
    """Speed perturbation (Ko et al. 2015), padding with silence, reverberation, additive noise.

    Args:
        waveform: (samples,) at ``sample_rate``.

    Returns:
        (other_samples,) float32.
    """
    if settings.speed > 0:
        factor = 1.0 + rng.uniform(-settings.speed, settings.speed)
        waveform = soxr.resample(waveform, sample_rate * factor, sample_rate, quality="LQ")
    # Padding changes the clip's mean, which the features are normalised by: train on both.
    if settings.padding_seconds > 0 and rng.random() < _PADDED_SHARE:
        before, after = rng.integers(0, int(settings.padding_seconds * sample_rate) + 1, size=2)
        waveform = np.pad(waveform, (int(before), int(after)))
    # A probability of 0 draws no number, so that runs of recipes without rooms hear what they did.
    if settings.room_probability > 0 and rng.random() < settings.room_probability:
        waveform = reverberated(waveform, sample_rate, rng)
    if rng.random() < settings.noise_probability:
        waveform = waveform + _noise(waveform, settings, rng)
    return np.asarray(waveform, dtype=np.float32)


def _noise(waveform: FloatArray, settings: AugmentSettings, rng: np.random.Generator) -> FloatArray:
    recording = noise_recordings()[int(rng.integers(2))]
    noise = stretch_of(recording, waveform.size, rng)
    signal_level = float(np.sqrt(np.mean(waveform**2)))
    noise_level = float(np.sqrt(np.mean(noise**2))) + 1e-12
    decibels = rng.uniform(settings.loudest_noise, settings.quietest_noise)
    return np.asarray(noise * (signal_level / noise_level * 10 ** (-decibels / 20)))


def mask_features(
    features: FloatArray, settings: AugmentSettings, rng: np.random.Generator
) -> FloatArray:
    """SpecAugment's time and frequency masks (Park et al. 2019), filled with 0, the clip's mean.

    The number of time masks grows with the clip and no mask covers more than a fifth of it, so
    that short words stay audible.

    Args:
        features: (frames, bands); not changed.

    Returns:
        (frames, bands).
    """
    masked = features.copy()
    frames, bands = masked.shape
    longest = min(settings.time_width, frames // 5)
    if longest > 0:
        for _ in range(max(1, round(settings.time_masks * frames / _FRAMES_PER_MASK_BUDGET))):
            width = int(rng.integers(0, longest + 1))
            start = int(rng.integers(0, frames - width + 1))
            masked[start : start + width] = 0.0
    for _ in range(settings.frequency_masks):
        width = int(rng.integers(0, min(settings.frequency_width, bands) + 1))
        start = int(rng.integers(0, bands - width + 1))
        masked[:, start : start + width] = 0.0
    return masked
