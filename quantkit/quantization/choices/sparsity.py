"""Sparse storage where it is smaller."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx

from quantkit.codecs.base import stored_bytes
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import LayerWeight, layer_weights
from quantkit.quantization.choices.settings import LayerChoice


def resolve_sparse(
    model: onnx.ModelProto, layers: Sequence[Layer], choices: Mapping[str, LayerChoice]
) -> tuple[dict[str, LayerChoice], dict[str, str]]:
    """Settle how many weights ``sparse`` layers keep, and whether it is worth it.

    Where nothing says how many to keep, it is those that pruning has left: all that are not zero.
    A layer that would be no smaller than with ``bitplane`` of as many bits becomes that.

    Returns:
        the choices by layer name, and why, where one was replaced.
    """
    editor = GraphEditor(model)
    weights = layer_weights(editor)
    settled: dict[str, LayerChoice] = {}
    notes: dict[str, str] = {}
    for layer in layers:
        choice = choices[layer.name]
        if choice.codec.name == "sparse":
            dense = CodecChoice("bitplane", choice.codec.bits)
            codec = choice.codec
            if not {"nonzeros", "keep"} & codec.options.keys():
                left = _nonzeros(weights[layer.name])
                codec = replace(codec, options={**codec.options, "nonzeros": left})
            smaller = _bytes(codec, layer.shape) < _bytes(dense, layer.shape)
            if not smaller:
                notes[layer.name] = f"sparse storage would be no smaller than {dense}"
            choice = replace(choice, codec=codec if smaller else dense)
        settled[layer.name] = choice
    return settled, notes


def _nonzeros(weight: LayerWeight) -> int:
    values = weight.array()
    return 0 if values is None else int(np.count_nonzero(values))


def _bytes(codec: CodecChoice, shape: Sequence[int]) -> int:
    return stored_bytes(codec.make(), (math.prod(shape),), 0)
