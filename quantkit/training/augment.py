"""Augmentation of one training clip: speed, room, noise on samples, masks on features."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import soxr

from quantkit.arrays import FloatArray
from quantkit.training.recipe import AugmentSettings
from quantkit.training.rooms import reverberated

_FRAMES_PER_MASK_BUDGET = 1_000
_NOISE_SAMPLES = 1 << 20
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
    recording = _noise_recordings()[int(rng.integers(2))]
    start = int(rng.integers(recording.size))
    noise = recording[(start + np.arange(waveform.size)) % recording.size]
    signal_level = float(np.sqrt(np.mean(waveform**2)))
    noise_level = float(np.sqrt(np.mean(noise**2))) + 1e-12
    decibels = rng.uniform(settings.loudest_noise, settings.quietest_noise)
    return np.asarray(noise * (signal_level / noise_level * 10 ** (-decibels / 20)))


@lru_cache
def _noise_recordings() -> tuple[FloatArray, FloatArray]:
    """White noise, and pink noise (3 dB less power per octave, like rooms and engines)."""
    white = np.random.default_rng(0).standard_normal(_NOISE_SAMPLES)
    spectrum = np.fft.rfft(white) / np.sqrt(np.arange(1, _NOISE_SAMPLES // 2 + 2))
    pink = np.fft.irfft(spectrum, n=_NOISE_SAMPLES)
    return white.astype(np.float32), pink.astype(np.float32)


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
