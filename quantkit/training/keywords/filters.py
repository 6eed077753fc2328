"""First-layer filters, initialised as a mel filter bank of Gabor wavelets.

Zeghidour et al., "Learning Filterbanks from Raw Speech for Phone Recognition", ICASSP 2018: a
few thousand clips are too few to find a time-frequency decomposition from random weights.
"""

from __future__ import annotations

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.mel import hertz_to_mel, mel_to_hertz

_LOWEST_HERTZ = 60.0
_HIGHEST_SHARE = 0.95
# A window of this deviation in seconds, times a band's width, has the band's width at half power.
_DEVIATION = 0.8 / np.pi
# Wider Gaussians would be cut off by the kernel's ends and leak into other bands.
_WIDEST_SHARE = 0.2


def gabor_filters(channels: int, kernel: int, sample_rate: int) -> FloatArray:
    """Cosine and sine of each mel band in turn, under Gaussian windows, each of norm 1.

    Args:
        kernel: length of the filters in samples.
        sample_rate: in Hz.

    Returns:
        (channels, kernel).
    """
    bands = (channels + 1) // 2
    low, high = hertz_to_mel(np.array([_LOWEST_HERTZ, _HIGHEST_SHARE * sample_rate / 2]))
    edges = mel_to_hertz(np.linspace(low, high, bands + 2))
    centres, widths = edges[1:-1, None], (edges[2:] - edges[:-2])[:, None] / 2
    time = (np.arange(kernel) - (kernel - 1) / 2) / sample_rate
    deviations = np.minimum(_DEVIATION / widths, _WIDEST_SHARE * kernel / sample_rate)
    windows = np.exp(-(time**2) / (2 * deviations**2))
    phases = 2 * np.pi * centres * time
    pairs = np.stack([windows * np.cos(phases), windows * np.sin(phases)], axis=1)
    filters = pairs.reshape(2 * bands, kernel)[:channels]
    return np.asarray(filters / np.linalg.norm(filters, axis=1, keepdims=True), dtype=np.float32)
