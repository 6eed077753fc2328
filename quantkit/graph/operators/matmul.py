"""``MatMul``: the weight may stand on either side, and a bias is an ``Add`` behind it."""

from __future__ import annotations

from typing import cast

import onnx

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.base import Slot, constant_weight
from quantkit.graph.operators.geometry import Geometry
from quantkit.graph.operators.product import Product


class MatMul(Product):
    """Weight (…, inputs, output channels); on the left, (…, output channels, inputs)."""

    name = "MatMul"
    slots = (Slot((1, 0)),)
    adds_bias_behind = True
    float_kernels = frozenset({"MatMul", "FusedMatMul", "TransposeMatMul"})

    def channel_axis(self, editor: GraphEditor, node: onnx.NodeProto, rank: int) -> int:
        return 0 if self.stands_left(editor, node) else rank - 1

    def input_axis(self, editor: GraphEditor, node: onnx.NodeProto) -> int:
        return -2 if self.stands_left(editor, node) else -1

    def output_axis(self, editor: GraphEditor, node: onnx.NodeProto) -> int:
        return -2 if self.stands_left(editor, node) else -1

    def stands_left(self, editor: GraphEditor, node: onnx.NodeProto) -> bool:
        return not editor.is_constant(node.input[1]) and editor.is_constant(node.input[0])

    def scalable_inputs(self, editor: GraphEditor, node: onnx.NodeProto) -> int | None:
        weight = editor.array(node.input[1])
        return int(weight.shape[0]) if weight is not None and weight.ndim == 2 else None

    def input_rows(self, editor: GraphEditor, node: onnx.NodeProto) -> FloatArray:
        return cast(FloatArray, editor.array(node.input[1]))

    def geometry(self, editor: GraphEditor, node: onnx.NodeProto, slot: Slot) -> Geometry | None:
        arrays = {position: editor.array(node.input[position]) for position in (0, 1)}
        constant = {position: array for position, array in arrays.items() if array is not None}
        if len(constant) != 1:
            return None
        ((position, weight),) = constant.items()
        if weight.ndim != 2:
            return None
        value, axis = str(node.input[1 - position]), -1 if position else -2
        return Geometry(value, weight.shape[1 - position], axis=axis)

    def bias_place(
        self, editor: GraphEditor, node: onnx.NodeProto
    ) -> tuple[onnx.NodeProto, int] | None:
        weight, user = editor.array(node.input[1]), editor.only_consumer(node.output[0])
        if weight is None or weight.ndim != 2 or user is None or user.op_type != "Add":
            return None
        for position, name in enumerate(user.input):
            bias = editor.array(name)
            fits = bias is not None and bias.size == weight.shape[1]
            if bias is not None and fits and bias.shape[-1:] == (bias.size,):
                return user, position
        return None

    def unfolds(self, editor: GraphEditor, node: onnx.NodeProto) -> bool:
        weight = constant_weight(editor, node)
        return weight is not None and weight.ndim == 2
