"""Spectral distance of quantized from float outputs."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from quantkit.arrays import Doubles
from quantkit.sensitivity.metrics.base import BOTH_OUTPUTS, LayerClip, Reads

# Columns of the sketch. Up to as many channels the result is exact.
_COLUMNS = 64
_SEED = 0


class SpectralDistance:
    """‖Ŷ − Y‖₂ / √frames, the largest singular value over the matrix of all frames by channels.

    Divided, so that it does not grow with the audio. One of the distances that myQASR's median is
    compared with (Fish, Michieli and Ozay, "A Model for Every User and Budget", Interspeech 2023).

    Of EᵀE, with the error E = Ŷ − Y, only the products with 64 fixed random directions are kept,
    (channels, 64) instead of (channels, channels). They sum over clips, and the largest
    eigenvalue of the Nyström approximation that they give is close to the true one and never above
    (Tropp, Yurtsever, Udell and Cevher, "Fixed-Rank Approximation of a Positive-Semidefinite Matrix
    from Streaming Data", 2017, algorithm 3).
    """

    name: ClassVar[str] = "spectral"
    reads: ClassVar[frozenset[Reads]] = BOTH_OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.directions: Doubles | None = None
        self.products: Doubles | None = None
        self.frames = 0

    def update(self, clip: LayerClip) -> None:
        error = clip.error
        if self.directions is None or self.products is None:
            self.directions = _directions(error.shape[1])
            self.products = np.zeros_like(self.directions)
        self.products += error.T @ (error @ self.directions)
        self.frames += len(error)

    def result(self) -> float:
        if self.directions is None or self.products is None or not self.products.any():
            return 0.0
        return math.sqrt(_largest_eigenvalue(self.directions, self.products) / self.frames)


def _directions(channels: int) -> Doubles:
    """(channels, at most 64): orthonormal columns, the same in every run."""
    if channels <= _COLUMNS:
        return np.eye(channels)
    normal = np.random.default_rng(_SEED).standard_normal((channels, _COLUMNS))
    orthonormal: Doubles = np.linalg.qr(normal)[0]
    return orthonormal


def _largest_eigenvalue(directions: Doubles, products: Doubles) -> float:
    """Of the Nyström approximation of a positive semidefinite A, of which A·directions is known."""
    # A little of the identity, taken off again at the end, keeps the inner matrix regular.
    rounding = float(np.finfo(np.float64).eps)
    shift = math.sqrt(len(products)) * rounding * float(np.linalg.norm(products))
    shifted = products + shift * directions
    inner = directions.T @ shifted
    values, vectors = np.linalg.eigh((inner + inner.T) / 2.0)
    kept = values > shift / 2.0
    root = (shifted @ vectors[:, kept]) / np.sqrt(values[kept])
    return max(float(np.linalg.norm(root, 2)) ** 2 - shift, 0.0)
