"""Augmentation of one-second clips, on samples only, so that it works with any front end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import soxr

from quantkit.arrays import FloatArray
from quantkit.audio.mel import hertz_to_mel
from quantkit.training.augment import silence_bands
from quantkit.training.keywords.recipe import AugmentSettings

WideArray = npt.NDArray[np.float64]

_EQUALIZER_KNOTS = 6
_BACKGROUND_SHARE = 0.5
_SILENT = 1e-6


def augment_clip(
    waveform: FloatArray,
    sample_rate: int,
    settings: AugmentSettings,
    backgrounds: Sequence[FloatArray],
    rng: np.random.Generator,
) -> FloatArray:
    """Speed (Ko et al. 2015), shift, noise, equalizer, and SpecAugment's masks (Park et al. 2019).

    Args:
        waveform: (samples,) at ``sample_rate``; not changed.
        backgrounds: recordings of (samples,) without speech; may be empty.

    Returns:
        (samples,) float32, as long as ``waveform``.
    """
    moved = _moved(waveform, sample_rate, settings, rng)
    noise = np.zeros(moved.size)
    if rng.random() < settings.noise_probability:
        noise = _noise(moved, settings, backgrounds, rng)
    filtered = _filtered(moved + noise, sample_rate, settings, rng)
    longest = min(filtered.size, round(settings.time_width * sample_rate))
    for _ in range(settings.time_masks):
        width = int(rng.integers(0, longest + 1))
        start = int(rng.integers(0, filtered.size - width + 1))
        filtered[start : start + width] = 0.0
    return filtered.astype(np.float32)


def fitted(waveform: FloatArray, samples: int, offset: int = 0) -> FloatArray:
    """The middle ``samples`` of a clip, shifted by ``offset`` samples and zero-padded.

    >>> fitted(np.array([1.0, 2.0], np.float32), 4).tolist()
    [0.0, 1.0, 2.0, 0.0]
    """
    start = (waveform.size - samples) // 2 + offset
    result = np.zeros(samples, np.float32)
    first, last = max(0, start), min(waveform.size, start + samples)
    if last > first:
        result[first - start : last - start] = waveform[first:last]
    return result


def _moved(
    waveform: FloatArray, sample_rate: int, settings: AugmentSettings, rng: np.random.Generator
) -> FloatArray:
    other = waveform
    if settings.speed > 0:
        factor = 1.0 + rng.uniform(-settings.speed, settings.speed)
        other = soxr.resample(waveform, sample_rate * factor, sample_rate, quality="LQ")
    furthest = round(settings.shift_seconds * sample_rate)
    return fitted(other, waveform.size, int(rng.integers(-furthest, furthest + 1)))


def _noise(
    waveform: FloatArray,
    settings: AugmentSettings,
    backgrounds: Sequence[FloatArray],
    rng: np.random.Generator,
) -> WideArray:
    if backgrounds and rng.random() < _BACKGROUND_SHARE:
        noise = backgrounds[int(rng.integers(len(backgrounds)))].astype(np.float64)
    else:
        # Amplitudes fall with frequency: not at all in white noise, by 3 dB an octave in pink.
        spectrum = np.fft.rfft(rng.standard_normal(waveform.size))
        slope = rng.uniform(0.0, 0.5)
        noise = np.fft.irfft(spectrum / np.arange(1, spectrum.size + 1) ** slope, n=waveform.size)
    decibels = rng.uniform(settings.loudest_noise, settings.quietest_noise)
    scale = _level(waveform) / (_level(noise) + _SILENT) * 10.0 ** (-decibels / 20.0)
    return np.asarray(noise * scale, dtype=np.float64)


def _filtered(
    waveform: npt.NDArray[np.floating],
    sample_rate: int,
    settings: AugmentSettings,
    rng: np.random.Generator,
) -> WideArray:
    """A random equalizer curve, as another microphone's, and silenced parts of the spectrum."""
    spectrum = np.fft.rfft(waveform)
    mel = hertz_to_mel(np.linspace(0.0, sample_rate / 2, spectrum.size))
    knots = np.linspace(0.0, mel[-1], _EQUALIZER_KNOTS)
    gains = rng.uniform(-settings.equalizer, settings.equalizer, _EQUALIZER_KNOTS)
    spectrum *= 10.0 ** (np.interp(mel, knots, gains) / 20.0)
    silence_bands(spectrum, mel, settings.frequency_masks, settings.frequency_width, rng)
    return np.asarray(np.fft.irfft(spectrum, n=waveform.size), dtype=np.float64)


def _level(waveform: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
