"""Layers whose integer input alone costs too much.

A grid covers the whole range of a layer's input. If quiet passages matter as much as loud ones, as
before a normalisation that makes all frames equally loud, the quiet ones fall between two levels,
and more weight bits do not bring them back. Such a layer is computed in float: its file stays as
small, and only its product takes longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quantkit.graph.layers import Layer
from quantkit.quantization.choices.settings import LayerRule, QuantizeSettings
from quantkit.sensitivity.table import Sensitivity

#: In nats per frame: about one percent of the probability that float32 gives to its output.
MAX_INPUT_DIVERGENCE = 0.01


def costly_grids(
    sensitivity: Sensitivity,
    settings: QuantizeSettings,
    layers: Sequence[Layer],
    limit: float = MAX_INPUT_DIVERGENCE,
) -> dict[str, float]:
    """Divergence caused by quantizing a layer's input, for layers where it exceeds ``limit``.

    Args:
        settings: give the kernel of each layer.
        layers: of the model that ``sensitivity`` is of.
        limit: in nats per frame.

    Raises:
        InputError: a pattern of ``settings`` matches no layer.
    """
    usual = replace(settings, codec=None).assign(layers)
    found = {}
    for layer in layers:
        choice = usual[layer.name]
        for grid in sensitivity.layer(layer.name).activations:
            kernel = (grid.compute, grid.bits)
            if kernel == (choice.compute, choice.activation_bits) and grid.divergence > limit:
                found[layer.name] = grid.divergence
    return found


def in_float(settings: QuantizeSettings, names: Sequence[str]) -> QuantizeSettings:
    """``settings`` with the layers ``names`` in float, unless its rules set them."""
    rules = (LayerRule(name, compute="float32") for name in names)
    return replace(settings, rules=(*rules, *settings.rules))


def reason(divergence: float) -> str:
    """Why a layer is computed in float, as a note."""
    return f"float product: an integer input alone costs {divergence:.2g} nats"
