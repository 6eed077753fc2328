"""What ``MatMul`` and ``Gemm`` have in common: rows of an activation times a matrix."""

from __future__ import annotations

import onnx

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.base import Operator
from quantkit.graph.plan import Compute


class Product(Operator):
    """A product of an activation and a constant matrix."""

    is_affine = True
    is_product = True
    is_reordered = False
    usual_compute = "dynamic"

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
