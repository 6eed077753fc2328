"""Layers that compute in float32 with a weight that is stored in fewer bits.

The weight is rebuilt while the session loads: ``levels · scale``, or a cast from float16. Then
the kernel, its speed and its memory are float32's; only the file is smaller.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import numpy as np
import onnx
from onnx import TensorProto, helper

from quantkit.arrays import FloatArray
from quantkit.codecs.base import Encoded
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.operators import node_weights
from quantkit.quantization.kernels.bias_correction import correct_added_bias, store_bias
from quantkit.quantization.weights import WeightStore, require_constant


def store_weights(model: onnx.ModelProto, names: Collection[str], weights: WeightStore) -> None:
    """Replace the float weights of the named layers by levels, in place.

    Embeddings stay as they are; see :mod:`quantkit.quantization.kernels.embedding`.
    """
    if not names:
        return
    editor = GraphEditor(model)
    done: dict[tuple[str, int], tuple[str, Encoded]] = {}
    for scope, node in editor.everywhere():
        layers = [each for each in node_weights(scope, node) if each.name in names]
        layers = [each for each in layers if not each.operator.is_lookup]
        if not layers:
            continue
        replacement = copy_node(node)
        # Weights are rebuilt in the main graph, once for all bodies that read them.
        nodes: list[onnx.NodeProto] = []
        for layer in layers:
            values, position = require_constant(layer), layer.position
            assert position is not None
            key = (layer.value, layer.axis(layer.rows().ndim))
            if key not in done:
                encoded = weights.encode_layer(layer)
                rebuilt = _rebuilt(editor, layer.name, encoded, weights, nodes)
                if encoded.levels.shape != values.shape:
                    rebuilt = _reshaped(editor, layer.name, rebuilt, values.shape, nodes)
                done[key] = rebuilt, encoded
            replacement.input[position], encoded = done[key]
            place = layer.operator.bias_place(editor, node)
            means = layer.by_input(values.shape, weights.means.get(layer.name))
            if place is not None and place[0] is node:
                bias = cast(FloatArray, editor.array(node.input[place[1]]))
                stored = store_bias(editor, weights, layer.name, bias, values, encoded, means)
                replacement.input[place[1]] = stored
            elif place is not None:
                correct_added_bias(scope, weights, node, values, encoded, means)
        if scope is editor:
            editor.replace(node, [*nodes, replacement])
        else:
            scope.replace(node, [replacement])
            editor.put_first(nodes)
    editor.finish()


def _reshaped(
    editor: GraphEditor,
    name: str,
    value: str,
    shape: tuple[int, ...],
    nodes: list[onnx.NodeProto],
) -> str:
    """Rows of a weight as its node reads them."""
    sizes = editor.constant(f"{name}.weight_shape", np.array(shape, np.int64))
    output = editor.free_name(f"{name}.weight_reshaped")
    nodes.append(helper.make_node("Reshape", [value, sizes], [output], f"{name}/weight_reshaped"))
    return output


def _rebuilt(
    editor: GraphEditor,
    name: str,
    encoded: Encoded,
    weights: WeightStore,
    nodes: list[onnx.NodeProto],
) -> str:
    def add(op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = editor.free_name(f"{name}.{part}")
        nodes.append(helper.make_node(op, inputs, [output], f"{name}/{part}", **attributes))
        return output

    if weights.is_float(name):
        # In the file's own type, so that an embedding with the same weight can share it.
        stored = editor.constant(f"{name}.weight", encoded.levels.astype(np.float16))
    else:
        stored = weights.add(editor, name, f"{name}.weight", encoded)
    value = add("Cast", [stored], "weight_steps", to=TensorProto.FLOAT)
    if weights.is_float(name) and (encoded.scale == 1).all():
        return value
    following = [1] * (encoded.levels.ndim - 1 - encoded.axis)
    scale = editor.constant(f"{name}.weight_scale", encoded.scale.reshape(-1, *following))
    return add("Mul", [value, scale], "weight_float32")
