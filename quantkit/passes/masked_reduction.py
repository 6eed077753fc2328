"""Masks where there are fewer channels.

A layer split in two may begin with a part that makes fewer channels of its inputs, one position at
a time. What it makes of zeros is zero, so a mask that zeroes whole positions can as well stand
behind it, where it has less to copy.

Rewrite rule, for a ``Conv`` of one tap without bias, stride and padding, of fewer outputs than
inputs, which alone reads the mask's result, and ``inside`` (batch, 1, positions …):

1. ``Conv(Where(inside, x, 0), w)`` → ``Where(inside, Conv(x, w), 0)``.
"""

from __future__ import annotations

import onnx

from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.zero_mask import (
    is_zero_mask,
    mask_source,
    masked_position,
    masks_positions,
)


def mask_fewer_channels(model: onnx.ModelProto) -> bool:
    """Apply the rule above in place; returns whether it did."""
    editor = GraphEditor(model)
    found = False
    for node in [n for n in editor.nodes if n.op_type == "Conv"]:
        mask = editor.producers.get(node.input[0])
        if mask is not None and is_zero_mask(editor, mask) and _fits(editor, node, mask):
            _swap(editor, node, mask)
            found = True
    if found:
        editor.finish()
    return found


def _fits(editor: GraphEditor, node: onnx.NodeProto, mask: onnx.NodeProto) -> bool:
    shape, attributes = editor.shape(node.input[1]), editor.attributes(node)
    if shape is None or len(node.input) > 2 or editor.only_consumer(mask.output[0]) is not node:
        return False
    moves = [*attributes.get("pads", ()), *(s - 1 for s in attributes.get("strides", ()))]
    plain = set(shape[2:]) <= {1} and not any(moves) and attributes.get("group", 1) == 1
    fewer = shape[0] < shape[1] and node.output[0] not in editor.outputs
    return plain and fewer and masks_positions(editor, str(mask.input[0]), len(shape))


def _swap(editor: GraphEditor, node: onnx.NodeProto, mask: onnx.NodeProto) -> None:
    first, second = copy_node(node), copy_node(mask)
    first.input[0] = mask_source(editor, mask)
    first.output[0] = editor.free_name(f"{node.output[0]}.unmasked")
    second.input[masked_position(editor, mask)] = first.output[0]
    second.output[0] = node.output[0]
    editor.replace(node, [first, second])
    editor.replace(mask, [])
