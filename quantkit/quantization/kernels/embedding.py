"""Embeddings that stay small in memory: rows are looked up first, then made float.

Rewrite rules, for a ``Gather`` from a constant matrix:

1. Integer levels: ``Gather`` → ``Cast`` → ``Mul`` with the ``Gather`` of the rows' scales.
2. float16: ``Gather`` → ``Cast``, and ``Mul`` likewise where rows have scales.

A float table, rebuilt while the session loads, would take four bytes a weight.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import lookups
from quantkit.quantization.weights import WeightStore, placed


def store_embeddings(model: onnx.ModelProto, names: Collection[str], weights: WeightStore) -> None:
    """Rewrite those of the named layers that are a ``Gather``, in place."""
    editor = GraphEditor(model)
    chosen = [
        (scope, node)
        for scope, node in editor.everywhere()
        if node.op_type in lookups() and node.name in names
    ]
    if not chosen:
        return
    stored: dict[str, str] = {}
    for scope, node in chosen:
        _rewrite(scope, node, weights, stored)
    editor.finish()


def _rewrite(
    editor: GraphEditor, node: onnx.NodeProto, weights: WeightStore, stored: dict[str, str]
) -> None:
    name = str(node.name)
    layer = placed(editor, node)
    axis = layer.axis(2)
    encoded = weights.encode_layer(layer)
    nodes: list[onnx.NodeProto] = []

    def add(op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = editor.free_name(f"{name}.{part}")
        nodes.append(helper.make_node(op, inputs, [output], f"{name}/{part}", **attributes))
        return output

    if weights.is_float(name):
        # By name of the float table, so that lookups in the same one share this, too.
        if node.input[0] not in stored:
            halves = encoded.levels.astype(np.float16)
            stored[node.input[0]] = editor.constant(f"{name}.weight", halves)
        levels = stored[node.input[0]]
    else:
        levels = weights.add(editor, name, f"{name}.weight", encoded)
    indices = str(node.input[1])
    rows = editor.free_name(f"{name}.rows")
    nodes.append(helper.make_node("Gather", [levels, indices], [rows], name, axis=axis))
    result = add("Cast", [rows], "float_rows", to=TensorProto.FLOAT)
    if not (weights.is_float(name) and (encoded.scale == 1).all()):
        # One-dimensional: a matrix would count as a layer when the file is read.
        scale = weights.add_scale(editor, f"{name}.weight_scale", encoded)
        scales = add("Gather", [scale, indices], "row_scales", axis=0)
        if axis == 0:
            last = editor.constant(f"{name}.last_axis", np.array([-1]))
            scales = add("Unsqueeze", [scales, last], "row_scale_columns")
        add("Mul", [result, scales], "scaled_rows")
    nodes[-1].output[0] = node.output[0]
    editor.replace(node, nodes)
