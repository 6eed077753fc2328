"""L1 distance of quantized from float outputs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from quantkit.sensitivity.metrics.base import BOTH_OUTPUTS, LayerClip, Reads


class L1Distance:
    """E |ŷ − y|, the mean over all outputs.

    One of the distances that myQASR's median is compared with (Fish, Michieli and Ozay, "A Model
    for Every User and Budget", Interspeech 2023).
    """

    name: ClassVar[str] = "l1"
    reads: ClassVar[frozenset[Reads]] = BOTH_OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def update(self, clip: LayerClip) -> None:
        self.total += float(np.abs(clip.error).sum())
        self.count += clip.error.size

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0
