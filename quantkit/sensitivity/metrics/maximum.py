"""Largest output of a layer."""

from __future__ import annotations

from typing import ClassVar

from quantkit.calibration.ranges import MinMax
from quantkit.sensitivity.metrics.base import OUTPUTS, LayerClip, Reads


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
