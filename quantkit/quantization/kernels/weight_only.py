"""Layers that compute in float32 with a weight that is stored in fewer bits.

The weight is rebuilt while the session loads: ``levels · scale``, or a cast from float16. Then
the kernel, its speed and its memory are float32's; only the file is smaller.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from quantkit.codecs.base import Encoded
from quantkit.errors import ModelError
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.quantization.kernels.bias_correction import correct_added_bias, store_bias
from quantkit.quantization.weights import (
    WeightStore,
    bias_place,
    by_input,
    channel_axis,
    weight_position,
)


def store_weights(model: onnx.ModelProto, names: Collection[str], weights: WeightStore) -> None:
    """Replace the float weights of the named layers by levels, in place.

    A ``Gather`` stays as it is; see :mod:`quantkit.quantization.kernels.embedding`.
    """
    if not names:
        return
    editor = GraphEditor(model)
    done: dict[tuple[str, int], tuple[str, Encoded]] = {}
    for node in [n for n in editor.nodes if n.name in names and n.op_type != "Gather"]:
        position = weight_position(editor, node)
        if position is None:
            raise ModelError(f"layer {node.name}: its weight is not a constant tensor")
        values = cast(npt.NDArray[np.float32], editor.array(node.input[position]))
        axis = channel_axis(editor, node, values.ndim)
        key = (str(node.input[position]), axis)
        replacement = copy_node(node)
        nodes: list[onnx.NodeProto] = []
        bias = editor.array(node.input[2]) if len(node.input) > 2 else None
        moments = weights.second_moments.get(node.name) if position else None
        importance = by_input(editor, node, values.shape, moments)
        if key not in done:
            biased = bias_place(editor, node) is not None
            encoded = weights.encode(node.name, values, axis, importance, bias=biased)
            done[key] = _rebuilt(editor, node.name, encoded, weights, nodes), encoded
        replacement.input[position], encoded = done[key]
        means = by_input(editor, node, values.shape, weights.means.get(node.name))
        if bias is not None:
            stored = store_bias(editor, weights, node.name, bias, values, encoded, means)
            replacement.input[2] = stored
        elif position:
            correct_added_bias(editor, weights, node, values, encoded, means)
        editor.replace(node, [*nodes, replacement])
    editor.finish()


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
