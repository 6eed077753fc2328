"""Trace of a layer's Hessian."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from quantkit.sensitivity.metrics.base import INPUTS, LayerClip, Reads


class HessianTrace:
    """Tr(H) / n, the average over a layer's n weights, by which HAWQ-V2 ranks layers.

    Dong et al., "HAWQ-V2: Hessian Aware trace-Weighted Quantization of Neural Networks", 2020. Here
    H = 2 E[x xᵀ] is that of the squared error of the layer's own outputs (Frantar et al., "GPTQ",
    2022, section 3), which needs no labels and no back-propagation. Its diagonal is twice the mean
    square of the weight's input, so the average is twice that of all inputs; the zeros that a
    convolution pads its input with are not counted.
    """

    name: ClassVar[str] = "hessian-trace"
    reads: ClassVar[frozenset[Reads]] = INPUTS
    more_is_sensitive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def update(self, clip: LayerClip) -> None:
        self.total += float(np.einsum("fc,fc->", clip.inputs, clip.inputs, dtype=np.float64))
        self.count += clip.inputs.size

    def result(self) -> float:
        return 2.0 * self.total / self.count if self.count else 0.0
