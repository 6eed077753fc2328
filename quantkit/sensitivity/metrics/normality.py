"""How far a layer's outputs are from a normal distribution."""

from __future__ import annotations

from typing import ClassVar

from quantkit.sensitivity.metrics.base import OUTPUTS, LayerClip, Reads
from quantkit.sensitivity.metrics.central_moments import CentralMoments


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
