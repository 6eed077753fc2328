"""``Conv``: windows of the input times one row of weights for each output channel."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import onnx
from onnx import helper

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.operators.base import Halves, Operator, Slot, plain_weight_shape
from quantkit.graph.operators.geometry import Geometry
from quantkit.graph.plan import Compute

# Inputs per output value under which quantizing them costs more than the product saves; measured by
# `python -m benchmarks.integer_convolutions`.
_SHORTEST_REDUCTION = 16


class Conv(Operator):
    """Weight (output channels, input channels of a group, taps by dimension …)."""

    name = "Conv"
    bias_input = 2
    is_affine = True
    result_axis = 1
    float_kernels = frozenset({"Conv", "FusedConv", "NhwcFusedConv"})

    def channel_axis(self, editor: GraphEditor, node: onnx.NodeProto, rank: int) -> int:
        return 0

    def input_axis(self, editor: GraphEditor, node: onnx.NodeProto) -> int:
        return 1

    def by_input(
        self,
        editor: GraphEditor,
        node: onnx.NodeProto,
        shape: tuple[int, ...],
        values: FloatArray | None,
    ) -> FloatArray | None:
        if values is None:
            return None
        groups = _groups(editor, node)
        by_group = values.reshape(groups, 1, -1)
        channels = np.repeat(by_group, shape[0] // groups, axis=1).reshape(shape[0], -1)
        return channels.reshape(*channels.shape, *(1,) * (len(shape) - 2))

    def scalable_inputs(self, editor: GraphEditor, node: onnx.NodeProto) -> int | None:
        shape = editor.shape(node.input[1])
        return None if shape is None else shape[1] * _groups(editor, node)

    def input_rows(self, editor: GraphEditor, node: onnx.NodeProto) -> FloatArray:
        values = cast(FloatArray, editor.array(node.input[1]))
        groups = _groups(editor, node)
        grouped = values.reshape(groups, -1, *values.shape[1:])
        return grouped.swapaxes(1, 2).reshape(groups * values.shape[1], -1)

    def geometry(self, editor: GraphEditor, node: onnx.NodeProto, slot: Slot) -> Geometry | None:
        shape = editor.shape(node.input[1])
        if shape is None or editor.is_constant(node.input[0]):
            return None
        return Geometry.of_convolution(str(node.input[0]), shape, editor.attributes(node))

    def splits(self, editor: GraphEditor, node: onnx.NodeProto) -> bool:
        return plain_weight_shape(editor, node) is not None and _groups(editor, node) == 1

    def matrix(self, editor: GraphEditor, node: onnx.NodeProto) -> FloatArray:
        weight = cast(FloatArray, editor.array(node.input[1]))
        return weight.reshape(len(weight), -1)

    def in_two(
        self, editor: GraphEditor, node: onnx.NodeProto, halves: Halves
    ) -> tuple[onnx.NodeProto, onnx.NodeProto]:
        shape = editor.shape(node.input[1])
        assert shape is not None
        between = editor.free_name(f"{node.output[0]}.in")
        weight = halves.reduce.reshape(-1, *shape[1:])
        first = self.without_bias(node)
        first.name = halves.name
        first.input[1] = editor.constant(f"{node.input[1]}.in", weight)
        first.output[0] = between
        # A window of one position in every dimension.
        expand = halves.expand.reshape(*halves.expand.shape, *(1,) * (len(shape) - 2))
        constants = [
            editor.constant(f"{node.input[1]}.out", expand),
            _shifted_bias(editor, node, halves.shift, "out"),
        ]
        second = helper.make_node(self.name, [between, *constants], node.output, str(node.name))
        return first, second

    def behind_fewer_channels(
        self, editor: GraphEditor, node: onnx.NodeProto, halves: Halves
    ) -> tuple[onnx.NodeProto, onnx.NodeProto]:
        shape = editor.shape(node.input[1])
        assert shape is not None
        between = editor.free_name(f"{node.output[0]}.first")
        reduce = halves.reduce.reshape(*halves.reduce.shape, *(1,) * (len(shape) - 2))
        constant = editor.constant(f"{node.input[1]}.first", reduce)
        first = helper.make_node(self.name, [node.input[0], constant], [between], halves.name)
        second = self.without_bias(node)
        weight = halves.expand.reshape(shape[0], -1, *shape[2:])
        second.input[0] = between
        second.input[1] = editor.constant(f"{node.input[1]}.behind", weight)
        second.input.append(_shifted_bias(editor, node, halves.shift, "behind"))
        return first, second

    def keep_outputs(
        self, editor: GraphEditor, node: onnx.NodeProto, kept: np.ndarray
    ) -> onnx.NodeProto:
        fewer, weight = copy_node(node), cast(FloatArray, editor.array(node.input[1]))
        fewer.input[1] = editor.constant(f"{node.input[1]}.kept", weight[kept])
        if (bias := editor.input_array(node, 2)) is not None:
            fewer.input[2] = editor.constant(f"{node.input[2]}.kept", bias[kept])
        return fewer

    def read_fewer(
        self, editor: GraphEditor, node: onnx.NodeProto, matrix: FloatArray, shift: FloatArray
    ) -> onnx.NodeProto:
        shape = editor.shape(node.input[1])
        assert shape is not None
        fewer = self.without_bias(node)
        weight = matrix.reshape(shape[0], -1, *shape[2:])
        fewer.input[1] = editor.constant(f"{node.input[1]}.fewer", weight)
        fewer.input.append(_shifted_bias(editor, node, shift, "fewer"))
        return fewer

    def unfolds(self, editor: GraphEditor, node: onnx.NodeProto) -> bool:
        shape = plain_weight_shape(editor, node)
        attributes = editor.attributes(node)
        return (
            shape is not None
            and len(shape) == 3
            and attributes.get("group", 1) == 1
            and attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        )

    def reason_against_integers(
        self, editor: GraphEditor, node: onnx.NodeProto, compute: Compute, emulated: bool
    ) -> str:
        if not editor.is_constant(node.input[1]):
            return "its weight is not the constant right operand"
        if emulated:
            return ""
        shape = editor.shape(node.input[1])
        assert shape is not None
        group = _groups(editor, node)
        if group == 1 and math.prod(shape[1:]) < _SHORTEST_REDUCTION:
            return "the float kernel is faster: too few inputs per output value"
        if group == 1 and shape[1] == 1:
            # Its windows are laid out byte by byte; and samples of sound, which have peaks of
            # sixteen times their standard deviation, lose most to a grid.
            return "the float kernel is faster: one input channel"
        if compute == "dynamic" and group > 1 and shape[1] == 1:
            return "the float kernel is faster: depthwise convolution"
        return ""


def _shifted_bias(editor: GraphEditor, node: onnx.NodeProto, shift: FloatArray, suffix: str) -> str:
    """A new constant: the bias of ``node``, which it need not have, plus ``shift``."""
    given = editor.input_array(node, 2)
    name = node.input[2] if given is not None else f"{node.name}.bias"
    return editor.constant(f"{name}.{suffix}", shift if given is None else given + shift)


def _groups(editor: GraphEditor, node: onnx.NodeProto) -> int:
    return int(editor.attributes(node).get("group", 1))
