"""Augmentation of one training clip: speed, room, noise on samples, masks on features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import soxr
from scipy import fft

from quantkit.arrays import FloatArray
from quantkit.audio.augmentation.noise import noise_recordings, stretch_of
from quantkit.audio.augmentation.rooms import reverberated
from quantkit.audio.mel import hertz_to_mel
from quantkit.training.recipe import AugmentSettings

_FRAMES_PER_MASK_BUDGET = 1_000
# What masks over samples are counted in.
_FRAMES_PER_SECOND, _MEL_BANDS = 100, 40
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


def mask_waveform(
    waveform: FloatArray, sample_rate: int, settings: AugmentSettings, rng: np.random.Generator
) -> FloatArray:
    """The same masks over samples: silenced intervals, and silenced bands of the spectrum.

    Args:
        waveform: (samples,) at ``sample_rate``; not changed.

    Returns:
        (samples,).
    """
    masked = waveform
    if settings.frequency_masks:
        # Of a length with large prime factors, a transform takes several times as long.
        length = fft.next_fast_len(waveform.size, real=True)
        spectrum = fft.rfft(waveform, n=length)
        mel = hertz_to_mel(np.linspace(0.0, sample_rate / 2, spectrum.size))
        widest = settings.frequency_width * float(mel[-1]) / _MEL_BANDS
        silence_bands(spectrum, mel, settings.frequency_masks, widest, rng)
        masked = fft.irfft(spectrum, n=length)[: waveform.size].astype(np.float32)
    hop = sample_rate // _FRAMES_PER_SECOND
    kept = mask_features(
        np.ones((-(-waveform.size // hop), 1), np.float32), _only_time(settings), rng
    )
    return np.asarray(masked * np.repeat(kept[:, 0], hop)[: waveform.size], dtype=np.float32)


def _only_time(settings: AugmentSettings) -> AugmentSettings:
    return replace(settings, frequency_masks=0)


def silence_bands(
    spectrum: npt.NDArray[np.complexfloating],
    mel: npt.NDArray[np.float64],
    masks: int,
    widest: float,
    rng: np.random.Generator,
) -> None:
    """Silence bands of a spectrum, in place.

    Args:
        spectrum: (bins,).
        mel: (bins,), rising: where they lie.
        masks: number of bands.
        widest: in mel.
    """
    for _ in range(masks):
        width = rng.uniform(0.0, widest)
        start = rng.uniform(0.0, max(0.0, float(mel[-1]) - width))
        spectrum[(mel >= start) & (mel < start + width)] = 0.0
