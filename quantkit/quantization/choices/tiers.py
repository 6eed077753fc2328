"""Tiers of output channels where a layer has channels enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx

from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.codecs.tiered import Tiered
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import layer_weights
from quantkit.quantization.choices.settings import LayerChoice


def resolve_tiers(
    model: onnx.ModelProto, layers: Sequence[Layer], choices: Mapping[str, LayerChoice]
) -> tuple[dict[str, LayerChoice], dict[str, str]]:
    """Give a layer whose channels would all be in a tier the bits of the rest.

    Returns:
        the choices by layer name, and why, where one was replaced.
    """
    editor = GraphEditor(model)
    weights = layer_weights(editor)
    settled = dict(choices)
    notes: dict[str, str] = {}
    for layer in layers:
        choice = choices[layer.name]
        codec = choice.codec.make()
        if isinstance(codec, Tiered):
            channels = weights[layer.name].channels(layer.shape)
            if not codec.fits(channels):
                notes[layer.name] = f"it has {channels} output channels, too few for such tiers"
                settled[layer.name] = replace(choice, codec=_rest(codec))
    return settled, notes


def _rest(codec: Tiered) -> CodecChoice:
    if codec.bits == 8:
        return INT8
    return CodecChoice("grouped" if codec.bits < 7 else "bitplane", codec.bits)
