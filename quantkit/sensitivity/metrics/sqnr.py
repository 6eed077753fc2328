"""Signal-to-quantization-noise ratio of a layer's outputs."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from quantkit.sensitivity.metrics.base import BOTH_OUTPUTS, LayerClip, Reads

# float32 keeps 24 bits of a number: the power of what it rounds away, against that of the number.
_FLOAT32_ROUNDING = 2.0**-48
_HIGHEST_DB = -10.0 * math.log10(_FLOAT32_ROUNDING)


class SignalToQuantizationNoise:
    """10 log₁₀(Σ y² / Σ (ŷ − y)²), in dB: about 6 more for each bit.

    Lin, Talathi and Annapureddy, "Fixed Point Quantization of Deep Convolutional Networks", 2016,
    section 3. At most 144.5 dB, where the error is what float32 rounds away; silence that stays
    silence has this, too.
    """

    name: ClassVar[str] = "sqnr"
    reads: ClassVar[frozenset[Reads]] = BOTH_OUTPUTS
    more_is_sensitive: ClassVar[bool] = False

    def __init__(self) -> None:
        self.signal = 0.0
        self.noise = 0.0

    def update(self, clip: LayerClip) -> None:
        self.signal += float(np.einsum("fc,fc->", clip.outputs, clip.outputs, dtype=np.float64))
        self.noise += float(clip.squared_errors.sum())

    def result(self) -> float:
        if not self.signal:
            return 0.0 if self.noise else _HIGHEST_DB
        floor = self.signal * _FLOAT32_ROUNDING
        return 10.0 * math.log10(self.signal / max(self.noise, floor))
