"""Median of a layer's outputs: the sensitivity of myQASR."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from quantkit.calibration.ranges import Histogram
from quantkit.sensitivity.metrics.base import OUTPUTS, LayerClip, Reads


class Median:
    """The value that half of all outputs lie below.

    myQASR's uniformity constraint: layers are ordered by the median of their outputs, and the one
    with the smallest loses a bit first (Fish, Michieli and Ozay, "A Model for Every User and
    Budget", Interspeech 2023, algorithm 1). The sign counts.

    Interpolated within a bin of a :class:`~quantkit.calibration.ranges.Histogram`, so exact to
    about 1/2000 of the distance between the smallest and the largest output.
    """

    name: ClassVar[str] = "median"
    reads: ClassVar[frozenset[Reads]] = OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.histogram = Histogram()

    def update(self, clip: LayerClip) -> None:
        self.histogram.update(clip.outputs)

    def result(self) -> float:
        histogram = self.histogram
        if not histogram.counts.size:
            return 0.0
        below = np.cumsum(histogram.counts)
        half = below[-1] / 2.0
        number = int(np.searchsorted(below, half))
        inside = int(histogram.counts[number])
        share = (half - (below[number] - inside)) / inside
        value = (histogram.first + number + share) * histogram.width
        extremes = histogram.extremes
        return float(np.clip(value, extremes.lowest, extremes.highest))
