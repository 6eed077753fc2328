"""Largest magnitude among a layer's outputs."""

from __future__ import annotations

from typing import ClassVar

from quantkit.calibration.ranges import MinMax
from quantkit.sensitivity.metrics.base import OUTPUTS, LayerClip, Reads


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
