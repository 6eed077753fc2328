"""Standard deviation of a layer's outputs."""

from __future__ import annotations

from typing import ClassVar

from quantkit.sensitivity.metrics.base import OUTPUTS, LayerClip, Reads
from quantkit.sensitivity.metrics.central_moments import CentralMoments


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
