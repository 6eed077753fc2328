"""Grids that no integer kernel knows, computed exactly in float32.

16-bit activations with 8-bit weights, and 16-bit weights with 8-bit activations, were wished for
by the source work. ONNX Runtime has no kernel for either, so the values are rounded to the grid
and the product is a float one: the accuracy of such a model, at float32's speed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.quantize.activations import static_grid
from quantkit.quantize.ranges import Range


def round_activation(editor: GraphEditor, node: onnx.NodeProto, bounds: Range, bits: int) -> None:
    """Round the first input of ``node`` to the asymmetric grid of ``bits`` bits over ``bounds``.

    Spelled out in float operators, because ``QuantizeLinear`` takes 16 bits from opset 21 on
    only: ``clip(round(x / scale), -zero point, 2**bits - 1 - zero point) · scale``.
    """
    scale, zero_point = static_grid(bounds, bits)
    prefix = str(node.name)
    nodes: list[onnx.NodeProto] = []

    def add(op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = editor.free_name(f"{prefix}.{part}")
        nodes.append(helper.make_node(op, inputs, [output], f"{prefix}/{part}", **attributes))
        return output

    scale_name = editor.constant(f"{prefix}.input_scale", scale)
    lowest = editor.constant(f"{prefix}.lowest_step", np.float32(-zero_point))
    highest = editor.constant(f"{prefix}.highest_step", np.float32(2**bits - 1 - zero_point))
    steps = add("Div", [node.input[0], scale_name], "input_steps")
    rounded = add("Round", [steps], "input_rounded")
    clipped = add("Clip", [rounded, lowest, highest], "input_clipped")
    value = add("Mul", [clipped, scale_name], f"input_{bits}_bits")
    product = copy_node(node)
    product.input[0] = value
    editor.replace(node, [*nodes, product])
