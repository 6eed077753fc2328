"""The range that leaves out a share of the values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantkit.calibration.ranges.base import Range
from quantkit.calibration.ranges.histogram import Histogram


class Percentile:
    """The range that leaves out an equal share of values at either end.

    An end of the range is the outer edge of a bin of the :class:`Histogram`, never beyond the
    true extreme.

    Args:
        percentile: per cent of the values to cover, above 50 and at most 100.
    """

    def __init__(self, percentile: float) -> None:
        self.cut = (100.0 - percentile) / 200.0
        self.histogram = Histogram()

    def update(self, values: npt.NDArray[np.float32]) -> None:
        self.histogram.update(values)

    def result(self) -> Range:
        histogram = self.histogram
        extremes = histogram.extremes.result()
        if not histogram.counts.size:
            return extremes
        below = np.cumsum(histogram.counts)
        total = int(below[-1])
        # The first bin that may not be cut away, seen from either end.
        low = int(np.searchsorted(below, self.cut * total, side="right"))
        above = np.cumsum(histogram.counts[::-1])
        high = above.size - int(np.searchsorted(above, self.cut * total, side="right"))
        return Range(
            min(0.0, max((histogram.first + low) * histogram.width, extremes.lowest)),
            max(0.0, min((histogram.first + high) * histogram.width, extremes.highest)),
        )
