"""Sound in which nobody speaks, for clips with an empty transcript."""

from __future__ import annotations

import numpy as np

from quantkit.arrays import FloatArray

_SILENT_SHARE = 0.1
_QUIETEST_DECIBELS, _LOUDEST_DECIBELS = -80.0, -10.0
_KNOTS_PER_SECOND = 4.0
_SPECTRAL_KNOTS = 12
_SPECTRAL_DECIBELS = 12.0
_STEEPEST_SLOPE = 1.2
_HUM_SHARE = 0.3
_KNOCK_SHARE = 0.3
_MOST_HARMONICS = 12


def speechless(samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Noise of a random spectrum that swells and fades, some of it with a hum or with knocks.

    A tenth is digital silence. Nothing is recorded, so recordings of noise remain for the test.

    Returns:
        (samples,) float32, between -80 and -10 dB of full scale.
    """
    if samples < 1 or rng.random() < _SILENT_SHARE:
        return np.zeros(max(0, samples), np.float32)
    sound = background(samples, sample_rate, rng)
    level = 10.0 ** (rng.uniform(_QUIETEST_DECIBELS, _LOUDEST_DECIBELS) / 20.0)
    return np.asarray(np.clip(sound * (level / _level_of(sound)), -1.0, 1.0), dtype=np.float32)


def background(samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Such noise of any level, and never silence.

    Args:
        samples: at least one.

    Returns:
        (samples,) float32.
    """
    sound = _coloured(samples, rng) * _swell(samples, sample_rate, rng)
    if rng.random() < _HUM_SHARE:
        sound = sound + _level_of(sound) * rng.uniform(0.1, 3.0) * _hum(samples, sample_rate, rng)
    if rng.random() < _KNOCK_SHARE:
        sound = sound + _level_of(sound) * rng.uniform(3.0, 30.0) * _knocks(
            samples, sample_rate, rng
        )
    return np.asarray(sound, dtype=np.float32)


def _coloured(samples: int, rng: np.random.Generator) -> FloatArray:
    """Noise whose amplitudes fall with frequency by a random power, with random peaks and dips."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    place = np.arange(1, spectrum.size + 1)
    knots = rng.uniform(-_SPECTRAL_DECIBELS, _SPECTRAL_DECIBELS, _SPECTRAL_KNOTS)
    octaves = np.log2(place) / max(1.0, float(np.log2(spectrum.size)))
    gains = np.interp(octaves, np.linspace(0.0, 1.0, _SPECTRAL_KNOTS), knots)
    spectrum *= place ** -rng.uniform(0.0, _STEEPEST_SLOPE) * 10.0 ** (gains / 20.0)
    return np.asarray(np.fft.irfft(spectrum, n=samples), dtype=np.float32)


def _swell(samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """A loudness that wanders by a random amount a few times each second."""
    count = 2 + int(samples / sample_rate * _KNOTS_PER_SECOND)
    depth = rng.uniform(0.0, 1.0)
    knots = np.exp(depth * rng.standard_normal(count))
    return np.interp(np.linspace(0.0, count - 1.0, samples), np.arange(count), knots).astype(
        np.float32
    )


def _hum(samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Harmonics of one low tone, as of motors and of the mains."""
    time = np.arange(samples) / sample_rate
    tone = rng.uniform(40.0, 300.0)
    hum = np.zeros(samples)
    for harmonic in range(1, 1 + int(rng.integers(1, _MOST_HARMONICS + 1))):
        phase, strength = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.0, 1.0) / harmonic
        hum += strength * np.sin(2.0 * np.pi * tone * harmonic * time + phase)
    return np.asarray(hum, dtype=np.float32)


def _knocks(samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Single short bursts of noise, as of dishes and of doors."""
    knocks = np.zeros(samples, np.float32)
    for _ in range(1 + int(rng.poisson(samples / sample_rate))):
        start = int(rng.integers(samples))
        length = min(samples - start, round(rng.uniform(0.005, 0.15) * sample_rate))
        decay = np.exp(-5.0 * np.arange(length) / max(1, length))
        knocks[start : start + length] += rng.standard_normal(length) * decay
    return knocks


def _level_of(sound: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) + 1e-12
