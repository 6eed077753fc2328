"""Masks: a ``Where`` that replaces some values by zero, such as the frames behind a clip's end."""

from __future__ import annotations

import onnx

from quantkit.graph.editor import GraphEditor


def is_zero_mask(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    """Whether ``node`` is a ``Where`` that replaces some values by a constant zero."""
    if node.op_type != "Where":
        return False
    branches = [editor.array(name) for name in node.input[1:3]]
    constants = [value for value in branches if value is not None]
    return len(constants) == 1 and constants[0].size == 1 and float(constants[0].reshape(())) == 0.0


def mask_source(editor: GraphEditor, node: onnx.NodeProto) -> str:
    """The value that a zero mask is laid over."""
    return str(node.input[masked_position(editor, node)])


def masked_position(editor: GraphEditor, node: onnx.NodeProto) -> int:
    """Which input of a zero mask that value is."""
    return 2 if editor.is_constant(node.input[1]) else 1
