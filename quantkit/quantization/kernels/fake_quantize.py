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

from quantkit.calibration.ranges import Range
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.quantization.kernels.activations import static_grid


def round_activation(editor: GraphEditor, node: onnx.NodeProto, bounds: Range, bits: int) -> None:
    """Round the first input of ``node`` to the asymmetric grid of ``bits`` bits over ``bounds``."""
    nodes: list[onnx.NodeProto] = []
    value = _rounded(editor, node.input[0], f"{node.name}.input", bounds, bits, nodes)
    product = copy_node(node)
    product.input[0] = value
    editor.replace(node, [*nodes, product])


def round_result(editor: GraphEditor, value: str, name: str, bounds: Range, bits: int) -> None:
    """Round ``value``, which a node of layer ``name`` makes, likewise, for all that read it."""
    maker = editor.producers[value]
    changed = copy_node(maker)
    raw = editor.free_name(f"{name}.result_raw")
    changed.output[list(maker.output).index(value)] = raw
    nodes: list[onnx.NodeProto] = []
    _rounded(editor, raw, f"{name}.result", bounds, bits, nodes)
    nodes[-1].output[0] = value
    editor.replace(maker, [changed, *nodes])


def _rounded(
    editor: GraphEditor,
    value: str,
    prefix: str,
    bounds: Range,
    bits: int,
    nodes: list[onnx.NodeProto],
) -> str:
    """Append the rounding of ``value`` to ``nodes``; returns the name of what comes out.

    Spelled out in float operators, because ``QuantizeLinear`` takes 16 bits from opset 21 on
    only: ``clip(round(x / scale), -zero point, 2**bits - 1 - zero point) · scale``.
    """
    scale, zero_point = static_grid(bounds, bits)

    def add(op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = editor.free_name(f"{prefix}_{part}")
        nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    scale_name = editor.constant(f"{prefix}_scale", scale)
    lowest = editor.constant(f"{prefix}_lowest_step", np.float32(-zero_point))
    highest = editor.constant(f"{prefix}_highest_step", np.float32(2**bits - 1 - zero_point))
    steps = add("Div", [value, scale_name], "steps")
    rounded = add("Round", [steps], "rounded")
    clipped = add("Clip", [rounded, lowest, highest], "clipped")
    return add("Mul", [clipped, scale_name], f"{bits}_bits")
