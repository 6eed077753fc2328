"""Activation ranges from a stream of clips, in memory that does not grow with their number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from quantkit.errors import InputError

_BINS = 4096
# Finer bins than this share of float32's own resolution would say nothing more.
_SMALLEST_EXPONENT = -120


@dataclass(frozen=True)
class Range:
    """Lowest and highest value that the 8-bit grid of one tensor has to hold."""

    lowest: float
    highest: float


class RangeTracker(Protocol):
    """Sees the values of one tensor clip by clip and ends with a range."""

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Take in finite values of any shape; none at all is allowed."""

    def result(self) -> Range:
        """The range of everything seen so far."""


class MinMax:
    """The extremes of all values."""

    def __init__(self) -> None:
        self.lowest = math.inf
        self.highest = -math.inf

    def update(self, values: npt.NDArray[np.float32]) -> None:
        if values.size:
            self.lowest = min(self.lowest, float(values.min()))
            self.highest = max(self.highest, float(values.max()))

    def result(self) -> Range:
        return Range(min(self.lowest, 0.0), max(self.highest, 0.0))


class Percentile:
    """The range that leaves out an equal share of values at either end.

    Values are counted in at most 4,096 bins of width ``2**exponent``, aligned to zero. When a
    value falls outside what they can span, the width doubles and neighbouring bins are added up:
    no count is ever split, so the result does not depend on the order of the clips. An end of
    the range is the outer edge of a bin, never beyond the true extreme.

    Args:
        percentile: per cent of the values to cover, above 50 and at most 100.
    """

    def __init__(self, percentile: float) -> None:
        self.cut = (100.0 - percentile) / 200.0
        self.extremes = MinMax()
        self.exponent: int | None = None
        self.first = 0
        self.counts: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def update(self, values: npt.NDArray[np.float32]) -> None:
        if not values.size:
            return
        self.extremes.update(values)
        low, high = float(values.min()), float(values.max())
        if self.exponent is None:
            self.exponent = self._fitting_exponent(low, high)
        while not self._spans(low, high):
            self._double()
        width = 2.0**self.exponent
        first = min(math.floor(low / width), self.first if self.counts.size else math.inf)
        last = max(
            math.floor(high / width),
            self.first + self.counts.size - 1 if self.counts.size else -math.inf,
        )
        grown = np.zeros(int(last) - int(first) + 1, np.int64)
        if self.counts.size:
            offset = self.first - int(first)
            grown[offset : offset + self.counts.size] = self.counts
        bins = np.floor(values.astype(np.float64).ravel() / width).astype(np.int64) - int(first)
        grown += np.bincount(bins, minlength=grown.size)
        self.first, self.counts = int(first), grown

    def result(self) -> Range:
        extremes = self.extremes.result()
        if self.exponent is None:
            return extremes
        width = 2.0**self.exponent
        below = np.cumsum(self.counts)
        total = int(below[-1])
        # The first bin that may not be cut away, seen from either end.
        low = int(np.searchsorted(below, self.cut * total, side="right"))
        above = np.cumsum(self.counts[::-1])
        high = self.counts.size - int(np.searchsorted(above, self.cut * total, side="right"))
        return Range(
            min(0.0, max((self.first + low) * width, extremes.lowest)),
            max(0.0, min((self.first + high) * width, extremes.highest)),
        )

    def _spans(self, low: float, high: float) -> bool:
        assert self.exponent is not None
        width = 2.0**self.exponent
        first, last = math.floor(low / width), math.floor(high / width)
        if self.counts.size:
            first, last = min(first, self.first), max(last, self.first + self.counts.size - 1)
        return last - first < _BINS

    def _double(self) -> None:
        assert self.exponent is not None
        self.exponent += 1
        if not self.counts.size:
            return
        first, last = self.first // 2, (self.first + self.counts.size - 1) // 2
        merged = np.zeros(last - first + 1, np.int64)
        old = np.arange(self.first, self.first + self.counts.size) // 2 - first
        np.add.at(merged, old, self.counts)
        self.first, self.counts = first, merged

    @staticmethod
    def _fitting_exponent(low: float, high: float) -> int:
        largest = max(abs(low), abs(high))
        if largest == 0.0:
            return _SMALLEST_EXPONENT
        # Starting four octaves finer than needed costs nothing: bins merge when they must.
        return max(_SMALLEST_EXPONENT, math.frexp(largest / _BINS)[1] - 4)


class Moments:
    """Mean and mean square of each channel: what the weights that meet it are multiplied by.

    The mean square says how much an error in such a weight matters: it is the diagonal of the
    layer's Hessian under squared output error, up to a factor (LeCun, Denker and Solla 1990,
    "Optimal Brain Damage"; Frantar et al. 2022, "GPTQ", equation 3).

    Args:
        axis: dimension of the channels.
    """

    def __init__(self, axis: int) -> None:
        self.axis = axis
        self.sums: npt.NDArray[np.float64] | None = None
        self.squares: npt.NDArray[np.float64] | None = None
        self.count = 0

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Take in finite values of any shape that has ``axis``."""
        others = tuple(i for i in range(values.ndim) if i != self.axis % values.ndim)
        sums = values.sum(axis=others, dtype=np.float64)
        squares = np.square(values, dtype=np.float64).sum(axis=others)
        self.sums = sums if self.sums is None else self.sums + sums
        self.squares = squares if self.squares is None else self.squares + squares
        self.count += values.size // max(1, values.shape[self.axis])

    def mean(self) -> npt.NDArray[np.float32] | None:
        """(channels,), or None when nothing was seen."""
        return self._per_value(self.sums)

    def mean_square(self) -> npt.NDArray[np.float32] | None:
        """(channels,), or None when nothing was seen."""
        return self._per_value(self.squares)

    def _per_value(self, total: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float32] | None:
        if total is None or not self.count:
            return None
        return (total / self.count).astype(np.float32)


def tracker(label: str) -> RangeTracker:
    """A fresh tracker for the range that plans call ``min-max`` or ``percentile 99.99``.

    Raises:
        InputError: no range is called so, or a percentile of 50 or less.
    """
    if label == "min-max":
        return MinMax()
    name, _, share = label.partition(" ")
    try:
        percentile = float(share)
    except ValueError:
        percentile = math.nan
    if name != "percentile" or math.isnan(percentile):
        raise InputError(f"unknown range {label!r}; write min-max or, for example, percentile 99.9")
    if not 50.0 < percentile <= 100.0:
        raise InputError(f"percentile must be above 50 and at most 100, not {percentile:g}")
    return Percentile(percentile)
