"""Kullback-Leibler divergence between the histograms of float and quantized outputs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from quantkit.calibration.ranges import Histogram
from quantkit.sensitivity.metrics.base import BOTH_OUTPUTS, LayerClip, Reads

# Bins that the outputs are counted in at last, at most: as many as an 8-bit grid has levels. With
# more, what is compared is chance: the divergence of two draws grows with bins over values.
_BINS = 256
# Added to each count, so that no bin is impossible (Krichevsky and Trofimov, "The performance of
# universal encoding", 1981).
_PSEUDOCOUNT = 0.5


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
