"""GELU of a dequantized value as one operator.

ONNX Runtime duplicates a ``DequantizeLinear`` for every reader, so that integer kernels can be
fused with it. The two operands x of a GELU are then different values, which its GELU fusion does
not recognise. So the fused operator, ``Gelu`` of com.microsoft (exact; ONNX Runtime 1.17 has it),
is written into the graph.

Rewrite rule, where x comes from ``DequantizeLinear``, directly or through operators that only move
values:

1. ``Mul(Mul(x, Add(Erf(Div(x, √2)), 1)), ½)``, as :mod:`quantkit.passes.gelu` leaves it, →
   ``com.microsoft.Gelu(x)``.
"""

from __future__ import annotations

import onnx
from onnx import helper

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.sets import VALUE_PRESERVING
from quantkit.graph.opset import CONTRIBUTED, import_contributed
from quantkit.passes.gelu import erf_argument
from quantkit.passes.match import only_consumer, remove_unused, split_scalar

_MOVES = VALUE_PRESERVING | {"Slice"}


def fuse_quantized_gelu(model: onnx.ModelProto) -> bool:
    """Apply the rule above in place; returns whether it did."""
    editor = GraphEditor(model)
    found = False
    for node in [n for n in editor.nodes if n.op_type == "Erf"]:
        found |= _rewrite(editor, node)
    if found:
        editor.finish()
        import_contributed(model)
    return found


def _rewrite(editor: GraphEditor, erf: onnx.NodeProto) -> bool:
    source = erf_argument(editor, erf)
    plus_one = only_consumer(editor, erf.output[0])
    if source is None or plus_one is None or plus_one.op_type != "Add":
        return False
    doubled = only_consumer(editor, plus_one.output[0])
    if doubled is None or doubled.op_type != "Mul" or source not in doubled.input:
        return False
    gelu = only_consumer(editor, doubled.output[0])
    if gelu is None or gelu.op_type != "Mul":
        return False
    if split_scalar(editor, plus_one) != (erf.output[0], 1.0):
        return False
    if split_scalar(editor, gelu) != (doubled.output[0], 0.5):
        return False
    if not _dequantized(editor, source):
        return False
    fused = helper.make_node("Gelu", [source], [gelu.output[0]], gelu.name, domain=CONTRIBUTED)
    editor.replace(gelu, [fused])
    remove_unused(editor, doubled)
    return True


def _dequantized(editor: GraphEditor, value: str) -> bool:
    node = editor.producers.get(value)
    while node is not None and node.op_type in _MOVES:
        node = editor.producers.get(node.input[0])
    return node is not None and node.op_type == "DequantizeLinear"
