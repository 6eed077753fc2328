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
        transposed = self.channel_axis(editor, node, 2)
        reduce, expand = (
            np.ascontiguousarray(each.T if transposed else each)
            for each in (halves.reduce, halves.expand)
        )
        place = self.bias_place(editor, node)
        first, second = self.without_bias(node), copy_node(node)
        first.name = halves.name
        first.output[0] = second.input[0] = editor.free_name(f"{node.output[0]}.in")
        first.input[1] = editor.constant(f"{node.input[1]}.in", reduce)
        second.input[1] = editor.constant(f"{node.input[1]}.out", expand)
        if place is not None:
            adds, position = place
            bias = editor.array(adds.input[position])
            assert bias is not None
            shifted = bias + halves.shift.reshape(bias.shape)
            changed = editor.constant(f"{adds.input[position]}.out", shifted)
            if adds is node:
                second.input[position] = changed
            else:
                editor.set_input(adds, position, changed)
        elif self.bias_input is not None:
            second.input.append(editor.constant(f"{node.name}.bias", halves.shift))
        return first, second

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
