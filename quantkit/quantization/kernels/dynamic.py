"""Layers whose activation range is found at run time."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import node_weights, unfolds
from quantkit.graph.opset import import_contributed
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.kernels.integer_conv import to_conv_integer
from quantkit.quantization.kernels.integer_lstm import to_dynamic_lstm
from quantkit.quantization.kernels.integer_matmul import unfold
from quantkit.quantization.weights import WeightStore


def quantize_dynamic_layers(
    model: onnx.ModelProto,
    choices: Mapping[str, LayerChoice],
    weights: WeightStore,
) -> None:
    """Rewrite layers of ``model`` in place.

    ``onnxruntime.quantization.quantize_dynamic`` is not used: it knows ``ConvInteger`` only, with
    one scale for a whole weight, and is slower than float32 on int8 weights.

    Args:
        model: of opset 18 or later, in which ReduceMax takes its axes as an input.
        choices: of the layers to rewrite, by name.
        weights: encodes and remembers the weights.
    """
    if not choices:
        return
    editor = GraphEditor(model)
    contributed = False
    for scope, node in editor.everywhere():
        layers = tuple(each for each in node_weights(scope, node) if each.name in choices)
        if not layers:
            continue
        choice = choices[layers[0].name]
        if len(layers) > 1:
            to_dynamic_lstm(scope, layers, weights)
            contributed = True
        else:
            rewrite = unfold if unfolds(scope, node) else to_conv_integer
            rewrite(scope, node, choice.dynamic_range, weights, choice.activation_bits)
    editor.finish()
    if contributed:
        import_contributed(model)
