"""A recurrent layer as ``DynamicQuantizeLSTM``, a contributed operator of ONNX Runtime.

Written from the documentation that ONNX Runtime keeps with the operators. Both weights are int8
with one scale for each row; input and state are rounded to 8 bits in each step, over the whole
batch. The kernel reads weights transposed; nodes that do it are folded while the session loads.
How much faster it is than the float kernel: ``python -m benchmarks.recurrent``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import LayerWeight
from quantkit.graph.opset import CONTRIBUTED
from quantkit.quantization.weights import WeightStore, require_constant

# W, R, B, sequence_lens, initial_h, initial_c and P, in the order of the float operator.
_FLOAT_INPUTS = 8
# What the float operator knows, and this one does not.
_UNKNOWN = ("layout",)


def to_dynamic_lstm(
    editor: GraphEditor, layers: tuple[LayerWeight, ...], weights: WeightStore
) -> None:
    """Replace the node of ``layers``, its two weights, by the integer kernel, under its name."""
    node = layers[0].node
    nodes: list[onnx.NodeProto] = []
    inputs = [*node.input, *[""] * (_FLOAT_INPUTS - len(node.input))]
    grids: list[str] = []
    for layer in layers:
        position = layer.position
        assert position is not None
        inputs[position], scale, zero_point = _operands(editor, layer, weights, nodes)
        grids += [scale, zero_point]
    kernel = helper.make_node(
        "DynamicQuantizeLSTM", [*inputs, *grids], list(node.output), node.name, domain=CONTRIBUTED
    )
    kernel.attribute.extend(each for each in node.attribute if each.name not in _UNKNOWN)
    if editor.parent is None:
        editor.replace(node, [*nodes, kernel])
    else:
        # In the main graph they are folded once for all bodies.
        editor.root.put_first(nodes)
        editor.replace(node, [kernel])


def _operands(
    editor: GraphEditor, layer: LayerWeight, weights: WeightStore, nodes: list[onnx.NodeProto]
) -> tuple[str, str, str]:
    """Names of the transposed levels, of the scales and of the zero points of a weight."""

    def add(op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = editor.free_name(f"{layer.name}.{part}")
        nodes.append(helper.make_node(op, inputs, [output], f"{layer.name}/{part}", **attributes))
        return output

    shape = require_constant(layer).shape
    encoded = weights.encode_layer(layer)
    stored = weights.add(editor, layer.name, f"{layer.name}.weight", encoded)
    sizes = editor.constant(f"{layer.name}.weight_shape", np.array(shape, np.int64))
    levels = add("Reshape", [stored, sizes], "weight_by_direction")
    transposed = add("Transpose", [levels], "weight_transposed", perm=[0, 2, 1])
    scale = editor.constant(f"{layer.name}.weight_scale", encoded.scale.reshape(shape[:2]))
    # One for each row, as the scales: of one for each direction the kernel reads beyond the end.
    zero = editor.constant(f"{layer.name}.weight_zero_point", np.zeros(shape[:2], np.int8))
    return transposed, scale, zero
