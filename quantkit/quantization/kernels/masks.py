"""Masks on the integer grid.

A recogniser zeroes the frames behind the end of each clip after every layer, so that a clip's
result does not depend on its batch mates: ``Where(inside, x, 0)``. Zero lies on every grid of
ours, so the mask commutes with quantization, and the rules keep integer layers side by side:

1. ``Where(inside, DequantizeLinear(q), 0)`` → ``DequantizeLinear(Where(inside, q, zero point))``,
   and likewise for operators that only move values about, such as ``Transpose``.
2. ``QuantizeLinear(DequantizeLinear(q))`` on one grid → ``q``.
3. ``QuantizeLinear(Where(inside, x, 0))``, where nothing else reads the mask's result, →
   ``Where(inside, QuantizeLinear(x), zero point)``: a quarter of the bytes to move.

Without them ONNX Runtime makes ``QLinearWhere`` of the masks, which costs two transpositions per
layer, or, where its operator set is not built in, computes the masks in float32.
"""

from __future__ import annotations

import onnx
from onnx import helper

from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.operators.sets import VALUE_PRESERVING
from quantkit.graph.zero_mask import is_zero_mask, masked_position


def integer_masks(editor: GraphEditor) -> None:
    """Apply the rules above wherever they fit."""
    for node in list(editor.nodes):
        if is_zero_mask(editor, node):
            position = masked_position(editor, node)
            zero_position: int | None = 3 - position
        elif node.op_type in VALUE_PRESERVING and len(node.output) == 1:
            position, zero_position = 0, None
        else:
            continue
        source = _grid_node(editor, node.input[position])
        if source is not None:
            _move_before(editor, node, source, position, zero_position)
    for node in list(editor.nodes):
        if node.op_type != "QuantizeLinear" or node.output[0] in editor.outputs:
            continue
        source = _grid_node(editor, node.input[0])
        if source is not None and _same_grid(editor, source, node):
            editor.redirect(node.output[0], source.input[0])
            continue
        mask = editor.producers.get(node.input[0])
        if mask is not None and is_zero_mask(editor, mask) and len(node.input) > 2:
            _quantize_before(editor, mask, node)


def _grid_node(editor: GraphEditor, value: str) -> onnx.NodeProto | None:
    """The ``DequantizeLinear`` with one constant grid that computes the activation ``value``."""
    node = editor.producers.get(value)
    if node is None or node.op_type != "DequantizeLinear" or len(node.input) < 3:
        return None
    scale = editor.array(node.input[1])
    if scale is None or scale.ndim != 0 or editor.is_constant(node.input[0]):
        return None
    return node


def _move_before(
    editor: GraphEditor,
    node: onnx.NodeProto,
    source: onnx.NodeProto,
    position: int,
    zero_position: int | None,
) -> None:
    integer = copy_node(node)
    integer.input[position] = source.input[0]
    if zero_position is not None:
        integer.input[zero_position] = source.input[2]
    integer.output[0] = editor.free_name(f"{node.output[0]}.uint8")
    dequantize = helper.make_node(
        "DequantizeLinear",
        [integer.output[0], source.input[1], source.input[2]],
        [node.output[0]],
        f"{node.name}/dequantize",
    )
    editor.replace(node, [integer, dequantize])


def _quantize_before(editor: GraphEditor, mask: onnx.NodeProto, quantize: onnx.NodeProto) -> None:
    position = masked_position(editor, mask)
    scale = editor.array(quantize.input[1])
    if editor.only_consumer(mask.output[0]) is not quantize or scale is None or scale.size > 1:
        return
    first, second = copy_node(quantize), copy_node(mask)
    first.input[0] = mask.input[position]
    first.output[0] = editor.free_name(f"{mask.output[0]}.unmasked")
    second.input[position], second.input[3 - position] = first.output[0], quantize.input[2]
    second.output[0] = quantize.output[0]
    editor.replace(quantize, [first, second])
    editor.replace(mask, [])


def _same_grid(editor: GraphEditor, one: onnx.NodeProto, other: onnx.NodeProto) -> bool:
    if len(other.input) < 3:
        return False
    for a, b in zip(one.input[1:3], other.input[1:3], strict=True):
        first, second = editor.array(a), editor.array(b)
        if first is None or second is None or first.dtype != second.dtype:
            return False
        if first.size != 1 or second.size != 1 or first.reshape(()) != second.reshape(()):
            return False
    return True
