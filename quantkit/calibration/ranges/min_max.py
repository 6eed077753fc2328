"""The range that clips nothing."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from quantkit.calibration.ranges.base import Range


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
