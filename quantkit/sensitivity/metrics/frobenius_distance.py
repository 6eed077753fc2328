"""Frobenius distance of quantized from float outputs."""

from __future__ import annotations

import math
from typing import ClassVar

from quantkit.sensitivity.metrics.base import BOTH_OUTPUTS, LayerClip, Reads


class FrobeniusDistance:
    """‖Ŷ − Y‖_F / √frames, over the matrix of all frames by channels.

    Divided, so that it does not grow with the audio. One of the distances that myQASR's median is
    compared with (Fish, Michieli and Ozay, "A Model for Every User and Budget", Interspeech 2023).
    """

    name: ClassVar[str] = "frobenius"
    reads: ClassVar[frozenset[Reads]] = BOTH_OUTPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.total = 0.0
        self.frames = 0

    def update(self, clip: LayerClip) -> None:
        self.total += float(clip.squared_errors.sum())
        self.frames += clip.squared_errors.size

    def result(self) -> float:
        return math.sqrt(self.total / self.frames) if self.frames else 0.0
