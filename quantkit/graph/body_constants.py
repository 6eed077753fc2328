"""Weights in the bodies of control flow move into the main graph.

A merged decoder has the same weights in both branches of an ``If``: there each is stored once, and
what rebuilds it while the model loads runs once. Bodies read constants of the graph around them.
"""

from __future__ import annotations

import hashlib

import onnx

from quantkit.graph.dead_code import drop_unread_initializers
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import node_weights
from quantkit.graph.partition import bodies
from quantkit.graph.tensors import tensor_array

_Content = tuple[int, tuple[int, ...], bytes]


def hoist_weights(model: onnx.ModelProto) -> None:
    """Let layers in bodies read weights of the main graph, in place; equal ones become one.

    Args:
        model: with its nodes named.
    """
    editor = GraphEditor(model)
    inner = [(scope, node) for scope, node in editor.everywhere() if scope.parent is not None]
    if not inner:
        return
    known: dict[_Content, str] = {}
    for scope, node in inner:
        for weight in node_weights(scope, node):
            position = weight.position
            if position is None:
                continue
            owner: GraphEditor | None = scope
            name = str(node.input[position])
            while owner is not None and name not in owner.initializers:
                owner = owner.parent
            if owner is None:
                continue
            tensor = owner.initializers[name]
            content = hashlib.sha256(tensor_array(tensor).tobytes()).digest()
            key = (tensor.data_type, tuple(tensor.dims), content)
            if key not in known:
                known[key] = name if owner is editor else _moved(editor, tensor)
            scope.set_input(node, position, known[key])
    editor.finish()
    for node in model.graph.node:
        for body in bodies(node):
            drop_unread_initializers(body)


def _moved(editor: GraphEditor, tensor: onnx.TensorProto) -> str:
    """The name of a copy of ``tensor`` in the main graph."""
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = editor.free_name(tensor.name)
    editor.initializers[copy.name] = copy
    return str(copy.name)
