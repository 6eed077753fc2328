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

from quantkit.errors import ModelError
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.quantize.weights import (
    WeightStore,
    by_input,
    channel_axis,
    corrected_bias,
    weight_position,
)


def store_weights(model: onnx.ModelProto, names: Collection[str], weights: WeightStore) -> None:
    """Replace the float weights of the named layers by levels, in place.

    A ``Gather`` stays as it is; see :mod:`quantkit.quantize.embedding`.
    """
    if not names:
        return
    editor = GraphEditor(model)
    done: dict[tuple[str, int], str] = {}
    for node in [n for n in editor.nodes if n.name in names and n.op_type != "Gather"]:
        position = weight_position(editor, node)
        if position is None:
            raise ModelError(f"layer {node.name}: its weight is not a constant tensor")
        values = cast(npt.NDArray[np.float32], editor.array(node.input[position]))
        axis = channel_axis(editor, node, values.ndim) if position else 0
        key = (str(node.input[position]), axis)
        replacement = copy_node(node)
        nodes: list[onnx.NodeProto] = []
        if key not in done:
            moments = weights.second_moments.get(node.name) if position else None
            importance = by_input(editor, node, values.shape, moments)
            done[key] = _rebuilt(editor, node.name, values, axis, importance, weights, nodes)
        replacement.input[position] = done[key]
        if len(node.input) > 2 and (bias := editor.array(node.input[2])) is not None:
            means = by_input(editor, node, values.shape, weights.means.get(node.name))
            encoded = weights.encode(node.name, values, axis)
            corrected = corrected_bias(bias, values, encoded, means)
            replacement.input[2] = editor.constant(f"{node.name}.bias", corrected)
        editor.replace(node, [*nodes, replacement])
    editor.finish()


def _rebuilt(
    editor: GraphEditor,
    name: str,
    values: npt.NDArray[np.float32],
    axis: int,
    importance: npt.NDArray[np.float32] | None,
    weights: WeightStore,
    nodes: list[onnx.NodeProto],
) -> str:
    encoded = weights.encode(name, values, axis, importance)

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
    following = [1] * (values.ndim - 1 - axis)
    scale = editor.constant(f"{name}.weight_scale", encoded.scale.reshape(-1, *following))
    return add("Mul", [value, scale], "weight_float32")
