"""Counts of a stream of values, whatever their magnitude and order."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from quantkit.calibration.ranges.min_max import MinMax

#: Bins at most.
BINS = 4096
# Bins finer than this share of float32's resolution would add no information.
_SMALLEST_EXPONENT = -120


class Histogram:
    """Counts in at most 4,096 bins of width ``2**exponent``, aligned to zero.

    When a value falls outside what the bins can span, the width doubles and neighbouring bins are
    added up: no count is ever split, so nothing depends on the order of the clips.

    Attributes:
        extremes: of the values themselves.
        exponent: None until a value was seen.
        first: number of the first bin; bin n holds n · width ≤ value < (n + 1) · width.
        counts: of the bins from ``first`` on.
    """

    def __init__(self) -> None:
        self.extremes = MinMax()
        self.exponent: int | None = None
        self.first = 0
        self.counts: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    @property
    def width(self) -> float:
        """Of a bin; 0 until a value was seen."""
        return 0.0 if self.exponent is None else 2.0**self.exponent

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Count finite values of any shape; none at all is allowed."""
        if not values.size:
            return
        self.extremes.update(values)
        low, high = float(values.min()), float(values.max())
        if self.exponent is None:
            self.exponent = self._fitting_exponent(low, high)
        while not self._spans(low, high):
            self._double()
        width = self.width
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

    def _spans(self, low: float, high: float) -> bool:
        first, last = math.floor(low / self.width), math.floor(high / self.width)
        if self.counts.size:
            first, last = min(first, self.first), max(last, self.first + self.counts.size - 1)
        return last - first < BINS

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
        return max(_SMALLEST_EXPONENT, math.frexp(largest / BINS)[1] - 4)
