"""L2 distance of quantized from float outputs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from quantkit.sensitivity.metrics.base import BOTH_OUTPUTS, LayerClip, Reads


class L2Distance:
    """E ‖ŷ − y‖₂, the Euclidean norm of a frame's error over its channels, averaged over frames.

    One of the distances that myQASR's median is compared with (Fish, Michieli and Ozay, "A Model
    for Every User and Budget", Interspeech 2023). At most the Frobenius distance.
    """

    name: ClassVar[str] = "l2"
    reads: ClassVar[frozenset[Reads]] = BOTH_OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.total = 0.0
        self.frames = 0

    def update(self, clip: LayerClip) -> None:
        self.total += float(np.sqrt(clip.squared_errors).sum())
        self.frames += clip.squared_errors.size

    def result(self) -> float:
        return self.total / self.frames if self.frames else 0.0
