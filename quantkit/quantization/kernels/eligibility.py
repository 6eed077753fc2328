"""Which layers an integer kernel would serve worse than the float one.

How much slower the integer kernels of these are: ``python -m benchmarks.integer_convolutions``.
"""

from __future__ import annotations

import math

import numpy as np
import onnx

from quantkit.graph.editor import GraphEditor
from quantkit.graph.plan import Compute
from quantkit.quantization.kernels.integer_matmul import can_unfold
from quantkit.quantization.weights import weight_position

# Inputs per output value under which quantizing them costs more than the product saves.
_SHORTEST_REDUCTION = 16


def reason_to_stay_float(
    editor: GraphEditor, node: onnx.NodeProto, compute: Compute, emulated: bool = False
) -> str:
    """Why ``node`` must compute in float32 where ``compute`` was asked for; empty if it need not.

    Args:
        emulated: whether the integer grids are computed by the float kernel anyway.
    """
    if compute == "float32":
        return ""
    if compute == "matmul-nbits":
        return _reason_against_blocks(editor, node)
    if node.op_type not in ("Conv", "MatMul", "Gemm"):
        return f"ONNX Runtime has no integer kernel for {node.op_type}"
    if not editor.is_constant(node.input[1]):
        return "its weight is not the constant right operand"
    if emulated:
        return ""
    if node.op_type == "Conv":
        weight = editor.array(node.input[1])
        assert weight is not None
        group = int(editor.attributes(node).get("group", 1))
        if group == 1 and math.prod(weight.shape[1:]) < _SHORTEST_REDUCTION:
            return "the float kernel is faster: too few inputs per output value"
        if group == 1 and weight.shape[1] == 1:
            # Its windows are laid out byte by byte; and samples of sound, which have peaks of
            # sixteen times their standard deviation, lose most to a grid.
            return "the float kernel is faster: one input channel"
        if compute == "dynamic" and group > 1 and weight.shape[1] == 1:
            return "the float kernel is faster: depthwise convolution"
        return ""
    if compute == "dynamic" and not can_unfold(editor, node):
        return "its operands are transposed, scaled, or not a matrix"
    return ""


def _reason_against_blocks(editor: GraphEditor, node: onnx.NodeProto) -> str:
    if node.op_type == "Gather":
        axis = editor.attributes(node).get("axis", 0)
        return "" if axis == 0 else "ONNX Runtime has a kernel for looking up rows only"
    if node.op_type not in ("MatMul", "Gemm"):
        return f"ONNX Runtime has no kernel for {node.op_type} with blocks of weights"
    if not can_unfold(editor, node):
        return "its weight is not the constant right operand, or it is scaled or not a matrix"
    return ""


def reason_to_stay_plain(editor: GraphEditor, node: onnx.NodeProto) -> str:
    """Why the weight of ``node`` must be stored as it is; empty if it need not."""
    position = weight_position(editor, node)
    weight = None if position is None else editor.array(node.input[position])
    if weight is None:
        return "its weight is not a constant tensor"
    if weight.dtype != np.float32:
        return f"its weight is {weight.dtype}, not float32"
    if not np.isfinite(weight).all():
        return "its weight holds NaN or infinity"
    return ""
