"""Waveforms that front ends are compared on: loud, quiet, short, silent, and with an offset."""

from __future__ import annotations

import numpy as np

RATE = 16_000


def chirp(seconds: float, rate: int = RATE) -> np.ndarray:
    """A tone that rises, and noise."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.2 * np.sin(2e3 * time * time) + 0.05 * noise).astype(np.float32)


def signals(rate: int = RATE) -> dict[str, np.ndarray]:
    """By name, each of at least one window of 25 ms."""
    speechlike = chirp(2.37, rate)
    speechlike *= np.linspace(0.01, 1, len(speechlike), dtype=np.float32)
    return {
        "chirp": chirp(1.0, rate),
        "fading in": speechlike,
        "quiet": 1e-2 * chirp(0.5, rate),
        "offset": chirp(0.5, rate) * np.float32(0.1) + np.float32(0.5),
        "one window": chirp(0.025, rate),
        "a sample more": chirp(0.03, rate)[: rate // 40 + 1],
    }


def assert_same_features(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal to 1e-4, but where single precision, in which packages compute, does not reach that.

    It does not in a band that is far quieter than others of its frame.
    """
    assert found.shape == expected.shape
    apart = np.abs(found - expected)
    assert np.quantile(apart, 0.99) < 1e-4
    assert apart.max() < 1e-3
