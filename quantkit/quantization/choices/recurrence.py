"""Weights of one node are computed in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx

from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import layer_weights
from quantkit.quantization.choices.settings import LayerChoice


def compute_together(
    model: onnx.ModelProto, layers: Sequence[Layer], choices: Mapping[str, LayerChoice]
) -> tuple[dict[str, LayerChoice], dict[str, str]]:
    """Let the weights of a recurrent node compute in float32 unless one kernel takes them all.

    Each keeps its codec.

    Returns:
        the choices by layer name, and why, where one was changed.
    """
    placed = layer_weights(GraphEditor(model))
    groups: dict[str, list[str]] = {}
    for layer in layers:
        weight = placed[layer.name]
        if len(weight.operator.slots) > 1:
            groups.setdefault(str(weight.node.name), []).append(layer.name)
    agreed = dict(choices)
    notes: dict[str, str] = {}
    for names in groups.values():
        whole = len(placed[names[0]].operator.slots) == len(names)
        if whole and len({choices[name].compute for name in names}) == 1:
            continue
        for name in names:
            if choices[name].compute != "float32":
                agreed[name] = replace(choices[name], compute="float32", range="none")
                notes[name] = "the other weight of its node computes in float32"
    return agreed, notes
