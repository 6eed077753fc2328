"""``Gemm``: a matrix product that adds its bias itself, with operands that may be transposed."""

from __future__ import annotations

from typing import cast

import onnx

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.base import Slot, plain_weight_shape
from quantkit.graph.operators.geometry import Geometry
from quantkit.graph.operators.product import Product


class Gemm(Product):
    """Weight (inputs, output channels), or the other way round with ``transB``."""

    name = "Gemm"
    bias_input = 2
    float_kernels = frozenset({"Gemm", "FusedGemm"})

    def channel_axis(self, editor: GraphEditor, node: onnx.NodeProto, rank: int) -> int:
        return 0 if editor.attributes(node).get("transB", 0) else rank - 1

    def input_axis(self, editor: GraphEditor, node: onnx.NodeProto) -> int:
        return 0 if editor.attributes(node).get("transA", 0) else -1

    def scalable_inputs(self, editor: GraphEditor, node: onnx.NodeProto) -> int | None:
        shape, attributes = editor.shape(node.input[1]), editor.attributes(node)
        if shape is None or len(shape) != 2 or attributes.get("transA", 0):
            return None
        return shape[1 if attributes.get("transB", 0) else 0]

    def input_rows(self, editor: GraphEditor, node: onnx.NodeProto) -> FloatArray:
        weight = cast(FloatArray, editor.array(node.input[1]))
        return weight.T if editor.attributes(node).get("transB", 0) else weight

    def geometry(self, editor: GraphEditor, node: onnx.NodeProto, slot: Slot) -> Geometry | None:
        shape, attributes = editor.shape(node.input[1]), editor.attributes(node)
        if shape is None or len(shape) != 2 or editor.is_constant(node.input[0]):
            return None
        inputs = shape[1 if attributes.get("transB", 0) else 0]
        return Geometry(str(node.input[0]), inputs, axis=0 if attributes.get("transA", 0) else 1)

    def unfolds(self, editor: GraphEditor, node: onnx.NodeProto) -> bool:
        attributes = editor.attributes(node)
        plain = all(attributes.get(name, 1.0) == 1.0 for name in ("alpha", "beta"))
        untransposed = not attributes.get("transA", 0)
        return plain and untransposed and plain_weight_shape(editor, node) is not None
