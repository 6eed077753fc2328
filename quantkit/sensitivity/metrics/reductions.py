"""Metrics of a layer's float outputs alone: their median, mean, extremes and moments."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from quantkit.calibration.ranges import Histogram, MinMax
from quantkit.sensitivity.metrics.base import OUTPUTS, LayerClip, Reads
from quantkit.sensitivity.metrics.central_moments import CentralMoments


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


class Mean:
    """E y over all outputs.

    One of the reductions that myQASR's median is compared with (Fish, Michieli and Ozay, "A Model
    for Every User and Budget", Interspeech 2023).
    """

    name: ClassVar[str] = "mean"
    reads: ClassVar[frozenset[Reads]] = OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def update(self, clip: LayerClip) -> None:
        self.total += float(clip.outputs.sum(dtype="float64"))
        self.count += clip.outputs.size

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0


class Maximum:
    """max y, which may be negative.

    One of the reductions that myQASR's median is compared with (Fish, Michieli and Ozay, "A Model
    for Every User and Budget", Interspeech 2023).
    """

    name: ClassVar[str] = "max"
    reads: ClassVar[frozenset[Reads]] = OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.extremes = MinMax()
        self.seen = False

    def update(self, clip: LayerClip) -> None:
        self.extremes.update(clip.outputs)
        self.seen = self.seen or clip.outputs.size > 0

    def result(self) -> float:
        return self.extremes.highest if self.seen else 0.0


class AbsoluteMaximum:
    """max |y|: what a symmetric grid has to span, so its step at a given number of bits.

    Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: A whitepaper",
    2018, section 2.2.
    """

    name: ClassVar[str] = "abs-max"
    reads: ClassVar[frozenset[Reads]] = OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.extremes = MinMax()

    def update(self, clip: LayerClip) -> None:
        self.extremes.update(clip.outputs)

    def result(self) -> float:
        extremes = self.extremes.result()
        return max(-extremes.lowest, extremes.highest)


class StandardDeviation:
    """√E[(y − E y)²], over all outputs: the best step of a uniform grid is proportional to it.

    Max, "Quantizing for minimum distortion", 1960, table II. It orders layers as the variance
    does; a map from values to bits tells the two apart.
    """

    name: ClassVar[str] = "standard-deviation"
    reads: ClassVar[frozenset[Reads]] = OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.moments = CentralMoments()

    def update(self, clip: LayerClip) -> None:
        self.moments += clip.moments

    def result(self) -> float:
        return self.moments.standard_deviation


class Variance:
    """E[(y − E y)²], over all outputs.

    For one distortion of all, a normal source of variance σ² needs ½ log₂ σ² bits more than one of
    variance 1 (Cover and Thomas, "Elements of Information Theory", 2006, theorem 10.3.3).
    """

    name: ClassVar[str] = "variance"
    reads: ClassVar[frozenset[Reads]] = OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.moments = CentralMoments()

    def update(self, clip: LayerClip) -> None:
        self.moments += clip.moments

    def result(self) -> float:
        return self.moments.variance


class Normality:
    """(S² + K²/4) / 6, with skewness S and excess kurtosis K.

    The statistic of Jarque and Bera, "A test for normality of observations and regression
    residuals", 1987, divided by the number of values, so that it does not grow with the audio. 0
    for a normal distribution; long tails, which stretch a grid over few values, make it large.
    """

    name: ClassVar[str] = "normality"
    reads: ClassVar[frozenset[Reads]] = OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.moments = CentralMoments()

    def update(self, clip: LayerClip) -> None:
        self.moments += clip.moments

    def result(self) -> float:
        skewness, kurtosis = self.moments.skewness, self.moments.excess_kurtosis
        return (skewness**2 + kurtosis**2 / 4.0) / 6.0
