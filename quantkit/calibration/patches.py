"""The inputs that each output value of a layer is a sum over, as rows (im2col)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import WEIGHT_INPUTS

_SUMS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Geometry:
    """How a layer's weight meets its input.

    Args:
        value: name of the activation that the weight is multiplied by.
        inputs: weights of one output channel.
        groups: of channels that meet different inputs; 1 for all but grouped convolutions.
        axis: of the inputs in the activation; 1 for a convolution's channels.
        kernel: taps of a convolution by dimension; empty for matrix products.
        strides, dilations: likewise.
        padding: zeros before and after, likewise; None where ``auto_pad`` keeps the output as long
            as the input, divided by the stride.
        odd_after: where ``auto_pad`` adds an odd number of zeros, one more after than before.
    """

    value: str
    inputs: int
    groups: int = 1
    axis: int = -1
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] | None = ()
    odd_after: bool = True

    @property
    def is_over_time(self) -> bool:
        """Whether taps lie along one dimension, as in convolutions over time."""
        return len(self.kernel) == 1

    @classmethod
    def of(cls, editor: GraphEditor, node: onnx.NodeProto) -> Geometry | None:
        """Of a ``Conv``, ``MatMul`` or ``Gemm`` whose weight is constant.

        None for other operators, and for a ``MatMul`` with a batch of weights.
        """
        if node.op_type not in _SUMS:
            return None
        arrays = {position: editor.input_array(node, position) for position in (0, 1)}
        constant = {position: array for position, array in arrays.items() if array is not None}
        if len(constant) != 1 or not constant.keys() <= set(WEIGHT_INPUTS[node.op_type]):
            return None
        ((position, weight),) = constant.items()
        value = str(node.input[1 - position])
        attributes = editor.attributes(node)
        if node.op_type == "Conv":
            return cls._of_convolution(value, weight.shape, attributes)
        if weight.ndim != 2:
            return None
        if node.op_type == "Gemm":
            inputs_last = bool(attributes.get("transB", 0))
            axis = 0 if attributes.get("transA", 0) else 1
            return cls(value, weight.shape[1 if inputs_last else 0], axis=axis)
        return cls(value, weight.shape[1 - position], axis=-1 if position else -2)

    @classmethod
    def _of_convolution(
        cls, value: str, shape: tuple[int, ...], attributes: dict[str, Any]
    ) -> Geometry:
        kernel = shape[2:]
        ones = (1,) * len(kernel)
        pads = list(attributes.get("pads", [0] * 2 * len(kernel)))
        padding: tuple[tuple[int, int], ...] | None
        padding = tuple(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True))
        automatic = attributes.get("auto_pad", b"NOTSET")
        if automatic == b"VALID":
            padding = tuple((0, 0) for _ in kernel)
        elif automatic != b"NOTSET":
            padding = None
        return cls(
            value,
            math.prod(shape[1:]),
            groups=int(attributes.get("group", 1)),
            axis=1,
            kernel=kernel,
            strides=tuple(attributes.get("strides", ones)),
            dilations=tuple(attributes.get("dilations", ones)),
            padding=padding,
            odd_after=automatic != b"SAME_LOWER",
        )

    @property
    def reach(self) -> tuple[int, ...]:
        """Distance between a kernel's first and last tap, by dimension."""
        return tuple((k - 1) * d for k, d in zip(self.kernel, self.dilations, strict=True))

    def padding_of(self, sizes: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Zeros before and after an input of these sizes, by dimension of the kernel."""
        if self.padding is not None:
            return self.padding
        amounts = []
        for size, stride, reach in zip(sizes, self.strides, self.reach, strict=True):
            total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
            less, more = total // 2, total - total // 2
            amounts.append((less, more) if self.odd_after else (more, less))
        return tuple(amounts)


def windows(values: FloatArray, geometry: Geometry) -> FloatArray:
    """A view of the inputs of each output value; only the padding is copied.

    Returns:
        (batch, positions by dimension …, groups, input channels of a group, taps by dimension …)
        for convolutions, else (rows, 1, inputs).
    """
    if not geometry.kernel:
        moved = np.moveaxis(values, geometry.axis, -1)
        return moved.reshape(-1, 1, geometry.inputs)
    padding = geometry.padding_of(values.shape[2:])
    padded = np.pad(values, ((0, 0), (0, 0), *padding)) if any(map(any, padding)) else values
    dimensions = len(geometry.kernel)
    spatial = tuple(range(2, 2 + dimensions))
    spans = tuple(reach + 1 for reach in geometry.reach)
    every = np.lib.stride_tricks.sliding_window_view(padded, spans, spatial)
    strides = tuple(slice(None, None, stride) for stride in geometry.strides)
    taps = tuple(slice(None, None, dilation) for dilation in geometry.dilations)
    taken = every[(slice(None), slice(None), *strides, *taps)]
    channels_last = np.moveaxis(taken, 1, 1 + dimensions)
    grouped = channels_last.shape[: 1 + dimensions]
    # Splitting one dimension of a view copies nothing.
    return channels_last.reshape(
        *grouped, geometry.groups, values.shape[1] // geometry.groups, *geometry.kernel
    )


def patches(values: FloatArray, geometry: Geometry) -> FloatArray:
    """The inputs of each output value.

    Args:
        values: the activation called :attr:`Geometry.value`.

    Returns:
        (rows, inputs), or (rows, groups, inputs) for grouped convolutions; rows are the output
        values of one channel in C order, inputs in C order of the weight's dimensions other than
        that of the output channels.
    """
    seen = windows(values, geometry)
    rows = math.prod(seen.shape[: 1 + len(geometry.kernel)])
    found = np.ascontiguousarray(seen.reshape(rows, geometry.groups, geometry.inputs))
    return found[:, 0] if geometry.groups == 1 else found
