"""Variance of a layer's outputs."""

from __future__ import annotations

from typing import ClassVar

from quantkit.sensitivity.metrics.base import OUTPUTS, LayerClip, Reads
from quantkit.sensitivity.metrics.central_moments import CentralMoments


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
