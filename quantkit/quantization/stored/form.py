"""One layer as a file has it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.calibration.ranges import StoredGrid
from quantkit.graph.operators import LayerWeight
from quantkit.graph.plan import Compute


@dataclass(frozen=True)
class StoredForm:
    """The numbers of one layer.

    Args:
        name: of the layer in the file.
        weight: what the kernel multiplies by: levels less their zero point, times their scale.
        axis: dimension of the output channels of a matrix; None where the weight lies as the float
            operator has it.
        bits: of each level in the file.
        compute: which kind of kernel computes the layer.
        input_grid: that the input is rounded to, where the file has it.
        output_grid: the same of the result.
        bias: (output channels,) that the file adds; None where none was found.
        bytes: of weight, scales, zero points and bias.
    """

    name: str
    weight: FloatArray
    axis: int | None
    bits: int
    compute: Compute
    input_grid: StoredGrid | None = None
    output_grid: StoredGrid | None = None
    bias: FloatArray | None = None
    bytes: int = 0

    def weight_for(self, layer: LayerWeight) -> FloatArray | None:
        """The weight as the float layer reads it, contiguous; None where that cannot be."""
        shape = layer.editor.shape(layer.value)
        if shape is None:
            return None
        if self.axis is None or self.weight.ndim != 2:
            return self.weight if self.weight.shape == shape else None
        inputs_first = self.weight if self.axis == 1 else self.weight.T
        if len(shape) == 3 and layer.operator.result_axis == 1:
            return _folded(inputs_first, shape)
        if len(shape) != 2:
            return None
        found = inputs_first if layer.axis(2) == 1 else inputs_first.T
        return np.ascontiguousarray(found) if found.shape == shape else None


def _folded(matrix: FloatArray, shape: tuple[int, ...]) -> FloatArray | None:
    """(taps · input channels, outputs) as (outputs, input channels, taps)."""
    outputs, inputs, taps = shape
    if matrix.shape != (inputs * taps, outputs):
        return None
    return np.ascontiguousarray(matrix.reshape(taps, inputs, outputs).transpose(2, 1, 0))
