"""Metrics that compare a layer's outputs with those that its quantized weight gives."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Doubles
from quantkit.calibration.ranges import Histogram
from quantkit.sensitivity.metrics.base import BOTH_OUTPUTS, LayerClip, Reads

# Columns of the spectral distance's sketch. Up to as many channels the result is exact.
_SKETCH_COLUMNS = 64
_SKETCH_SEED = 0

# float32 keeps 24 bits of a number: the power of what it rounds away, against that of the number.
_FLOAT32_ROUNDING = 2.0**-48
_HIGHEST_DB = -10.0 * math.log10(_FLOAT32_ROUNDING)

# The divergence counts the outputs in at most so many bins, as many as an 8-bit grid has levels.
# With more, what is compared is chance: the divergence of two draws grows with bins over values.
_BINS = 256
# Added to each count, so that no bin is impossible (Krichevsky and Trofimov, "The performance of
# universal encoding", 1981).
_PSEUDOCOUNT = 0.5


class L1Distance:
    """E |ŷ − y|, the mean over all outputs.

    One of the distances that myQASR's median is compared with (Fish, Michieli and Ozay, "A Model
    for Every User and Budget", Interspeech 2023).
    """

    name: ClassVar[str] = "l1"
    reads: ClassVar[frozenset[Reads]] = BOTH_OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def update(self, clip: LayerClip) -> None:
        self.total += float(np.abs(clip.error).sum())
        self.count += clip.error.size

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0


class L2Distance:
    """E ‖ŷ − y‖₂, the Euclidean norm of a frame's error over its channels, averaged over frames.

    One of the distances that myQASR's median is compared with (Fish, Michieli and Ozay, "A Model
    for Every User and Budget", Interspeech 2023). At most the Frobenius distance.
    """

    name: ClassVar[str] = "l2"
    reads: ClassVar[frozenset[Reads]] = BOTH_OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.total = 0.0
        self.frames = 0

    def update(self, clip: LayerClip) -> None:
        self.total += float(np.sqrt(clip.squared_errors).sum())
        self.frames += clip.squared_errors.size

    def result(self) -> float:
        return self.total / self.frames if self.frames else 0.0


class FrobeniusDistance:
    """‖Ŷ − Y‖_F / √frames, over the matrix of all frames by channels.

    Divided, so that it does not grow with the audio. One of the distances that myQASR's median is
    compared with (Fish, Michieli and Ozay, "A Model for Every User and Budget", Interspeech 2023).
    """

    name: ClassVar[str] = "frobenius"
    reads: ClassVar[frozenset[Reads]] = BOTH_OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.total = 0.0
        self.frames = 0

    def update(self, clip: LayerClip) -> None:
        self.total += float(clip.squared_errors.sum())
        self.frames += clip.squared_errors.size

    def result(self) -> float:
        return math.sqrt(self.total / self.frames) if self.frames else 0.0


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
    if channels <= _SKETCH_COLUMNS:
        return np.eye(channels)
    normal = np.random.default_rng(_SKETCH_SEED).standard_normal((channels, _SKETCH_COLUMNS))
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


class SignalToQuantizationNoise:
    """10 log₁₀(Σ y² / Σ (ŷ − y)²), in dB: about 6 more for each bit.

    Lin, Talathi and Annapureddy, "Fixed Point Quantization of Deep Convolutional Networks", 2016,
    section 3. At most 144.5 dB, where the error is what float32 rounds away; silence that stays
    silence has this, too.
    """

    name: ClassVar[str] = "sqnr"
    reads: ClassVar[frozenset[Reads]] = BOTH_OUTPUTS
    more_is_sensitive: ClassVar[bool] = False

    def __init__(self) -> None:
        self.signal = 0.0
        self.noise = 0.0

    def update(self, clip: LayerClip) -> None:
        self.signal += float(np.einsum("fc,fc->", clip.outputs, clip.outputs, dtype=np.float64))
        self.noise += float(clip.squared_errors.sum())

    def result(self) -> float:
        if not self.signal:
            return 0.0 if self.noise else _HIGHEST_DB
        floor = self.signal * _FLOAT32_ROUNDING
        return 10.0 * math.log10(self.signal / max(self.noise, floor))


class KullbackLeibler:
    """Σ p log(p / q) in nats, with p of the float and q of the quantized outputs.

    Kullback and Leibler, "On Information and Sufficiency", 1951; between histograms of activations
    it chooses ranges in Migacz, "8-bit Inference with TensorRT", 2017. It sees how the values are
    distributed, not which became which.
    """

    name: ClassVar[str] = "kl"
    reads: ClassVar[frozenset[Reads]] = BOTH_OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.outputs = Histogram()
        self.quantized = Histogram()

    def update(self, clip: LayerClip) -> None:
        self.outputs.update(clip.outputs)
        self.quantized.update(clip.quantized)

    def result(self) -> float:
        if not self.outputs.counts.size or not self.quantized.counts.size:
            return 0.0
        of_float, of_quantized = _on_common_bins(self.outputs, self.quantized)
        p = (of_float + _PSEUDOCOUNT) / (of_float + _PSEUDOCOUNT).sum()
        q = (of_quantized + _PSEUDOCOUNT) / (of_quantized + _PSEUDOCOUNT).sum()
        return max(float(np.sum(p * np.log(p / q))), 0.0)


def _on_common_bins(
    one: Histogram, other: Histogram
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Counts of both in the same bins: the finest that need no more than ``_BINS``."""
    exponents = [each.exponent for each in (one, other) if each.exponent is not None]
    exponent = max(exponents)
    while True:
        numbers = [_bin_numbers(each, exponent) for each in (one, other)]
        first = int(min(each[0] for each in numbers))
        bins = int(max(each[-1] for each in numbers)) - first + 1
        if bins <= _BINS:
            break
        exponent += 1
    counts = []
    for histogram, number in zip((one, other), numbers, strict=True):
        merged = np.zeros(bins, np.int64)
        np.add.at(merged, number - first, histogram.counts)
        counts.append(merged)
    return counts[0], counts[1]


def _bin_numbers(histogram: Histogram, exponent: int) -> npt.NDArray[np.int64]:
    """For each bin of ``histogram``, which one of width ``2**exponent`` holds it."""
    assert histogram.exponent is not None
    numbers = np.arange(histogram.first, histogram.first + histogram.counts.size)
    return numbers >> (exponent - histogram.exponent)
