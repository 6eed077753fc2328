"""What ``MatMul`` and ``Gemm`` have in common: rows of an activation times a matrix."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.operators.base import Halves, Operator
from quantkit.graph.plan import Compute


class Product(Operator):
    """A product of an activation and a constant matrix."""

    is_affine = True
    is_product = True
    is_reordered = False
    usual_compute = "dynamic"

    def splits(self, editor: GraphEditor, node: onnx.NodeProto) -> bool:
        return self.unfolds(editor, node)

    def matrix(self, editor: GraphEditor, node: onnx.NodeProto) -> FloatArray:
        weight = cast(FloatArray, editor.array(node.input[1]))
        return weight.T if self.channel_axis(editor, node, 2) else weight

    def in_two(
        self, editor: GraphEditor, node: onnx.NodeProto, halves: Halves
    ) -> tuple[onnx.NodeProto, onnx.NodeProto]:
        reduce, expand = (
            self._laid_out(editor, node, each) for each in (halves.reduce, halves.expand)
        )
        first, second = self.without_bias(node), copy_node(node)
        first.name = halves.name
        first.output[0] = second.input[0] = editor.free_name(f"{node.output[0]}.in")
        first.input[1] = editor.constant(f"{node.input[1]}.in", reduce)
        second.input[1] = editor.constant(f"{node.input[1]}.out", expand)
        self._shift_bias(editor, node, second, halves.shift)
        return first, second

    def keep_outputs(
        self, editor: GraphEditor, node: onnx.NodeProto, kept: np.ndarray
    ) -> onnx.NodeProto:
        fewer = copy_node(node)
        weight = self._laid_out(editor, node, self.matrix(editor, node)[kept])
        fewer.input[1] = editor.constant(f"{node.input[1]}.kept", weight)
        if (bias := editor.input_array(node, 2)) is not None:
            fewer.input[2] = editor.constant(f"{node.input[2]}.kept", bias[kept])
        return fewer

    def read_fewer(
        self, editor: GraphEditor, node: onnx.NodeProto, matrix: FloatArray, shift: FloatArray
    ) -> onnx.NodeProto:
        fewer = copy_node(node)
        weight = self._laid_out(editor, node, matrix)
        fewer.input[1] = editor.constant(f"{node.input[1]}.fewer", weight)
        self._shift_bias(editor, node, fewer, shift)
        return fewer

    def _laid_out(
        self, editor: GraphEditor, node: onnx.NodeProto, matrix: FloatArray
    ) -> FloatArray:
        """(output channels, inputs) as the node reads it."""
        return np.ascontiguousarray(matrix.T if self.channel_axis(editor, node, 2) else matrix)

    def _shift_bias(
        self, editor: GraphEditor, node: onnx.NodeProto, copy: onnx.NodeProto, shift: FloatArray
    ) -> None:
        """Let ``copy``, which takes the place of ``node``, or the node behind it add ``shift``."""
        place = self.bias_place(editor, node)
        if place is not None:
            adds, position = place
            bias = editor.array(adds.input[position])
            assert bias is not None
            shifted = bias + shift.reshape(bias.shape)
            changed = editor.constant(f"{adds.input[position]}.out", shifted)
            if adds is node:
                copy.input[position] = changed
            else:
                editor.set_input(adds, position, changed)
        elif self.bias_input is not None:
            copy.input.append(editor.constant(f"{node.name}.bias", shift))

    def reason_against_integers(
        self, editor: GraphEditor, node: onnx.NodeProto, compute: Compute, emulated: bool
    ) -> str:
        if not editor.is_constant(node.input[1]):
            return "its weight is not the constant right operand"
        if not emulated and compute == "dynamic" and not self.unfolds(editor, node):
            return "its operands are transposed, scaled, or not a matrix"
        return ""

    def reason_against_blocks(self, editor: GraphEditor, node: onnx.NodeProto) -> str:
        if not self.unfolds(editor, node):
            return "its weight is not the constant right operand, or it is scaled or not a matrix"
        return ""
