"""Mean of a layer's outputs."""

from __future__ import annotations

from typing import ClassVar

from quantkit.sensitivity.metrics.base import OUTPUTS, LayerClip, Reads


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
