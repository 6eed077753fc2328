"""White and pink noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from quantkit.arrays import FloatArray

_SAMPLES = 1 << 20


@lru_cache
def noise_recordings() -> tuple[FloatArray, FloatArray]:
    """White noise, and pink noise (3 dB less power per octave, like rooms and engines)."""
    white = np.random.default_rng(0).standard_normal(_SAMPLES)
    spectrum = np.fft.rfft(white) / np.sqrt(np.arange(1, _SAMPLES // 2 + 2))
    pink = np.fft.irfft(spectrum, n=_SAMPLES)
    return white.astype(np.float32), pink.astype(np.float32)


def stretch_of(recording: FloatArray, samples: int, rng: np.random.Generator) -> FloatArray:
    """A random part of a recording that is repeated for as long as needed.

    Returns:
        (samples,).
    """
    start = int(rng.integers(recording.size))
    return recording[(start + np.arange(samples)) % recording.size]
