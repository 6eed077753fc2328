"""``MatMul``: the weight may stand on either side, and a bias is an ``Add`` behind it."""

from __future__ import annotations

import math
from typing import cast

import onnx

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.base import Slot, plain_weight_shape
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
        shape = editor.shape(node.input[1])
        return shape[0] if shape is not None and len(shape) == 2 else None

    def input_rows(self, editor: GraphEditor, node: onnx.NodeProto) -> FloatArray:
        return cast(FloatArray, editor.array(node.input[1]))

    def geometry(self, editor: GraphEditor, node: onnx.NodeProto, slot: Slot) -> Geometry | None:
        shapes = {position: editor.shape(node.input[position]) for position in (0, 1)}
        constant = {position: shape for position, shape in shapes.items() if shape is not None}
        if len(constant) != 1:
            return None
        ((position, shape),) = constant.items()
        if len(shape) != 2:
            return None
        value, axis = str(node.input[1 - position]), -1 if position else -2
        return Geometry(value, shape[1 - position], axis=axis)

    def bias_place(
        self, editor: GraphEditor, node: onnx.NodeProto
    ) -> tuple[onnx.NodeProto, int] | None:
        weight, user = editor.shape(node.input[1]), editor.only_consumer(node.output[0])
        if weight is None or len(weight) != 2 or user is None or user.op_type != "Add":
            return None
        for position, name in enumerate(user.input):
            bias = editor.shape(name)
            if bias is not None and math.prod(bias) == weight[1] and bias[-1:] == weight[1:]:
                return user, position
        return None

    def unfolds(self, editor: GraphEditor, node: onnx.NodeProto) -> bool:
        shape = plain_weight_shape(editor, node)
        return shape is not None and len(shape) == 2
