"""Tables of sensitivities that no audio was needed for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from quantkit.codecs.catalogue import CodecChoice
from quantkit.disk.files import sha256_of
from quantkit.graph.artifact import load_model
from quantkit.graph.layers import find_layers
from quantkit.planning.latency import LayerTimes
from quantkit.sensitivity.table import (
    ActivationDivergence,
    LayerSensitivity,
    Sensitivity,
    WeightDivergence,
)

CODECS = tuple(
    map(CodecChoice.parse, ("grouped:2", "bitplane:2", "bitplane:3", "grouped:4", "int8"))
)


def synthetic_sensitivity(
    source: Path, codecs: Sequence[CodecChoice] = CODECS, seed: int = 0
) -> Sensitivity:
    """Layers of very different sensitivity, each losing less the more bits it has."""
    draw = random.Random(seed)
    layers = []
    for layer in find_layers(load_model(source)):
        scale = 10 ** draw.uniform(-2.0, 1.0)
        weights = tuple(
            WeightDivergence(codec, scale * 4.0**-codec.bits * draw.uniform(0.7, 1.4), 0.0)
            for codec in codecs
        )
        activations = (
            ActivationDivergence("static", 8, 3e-4 * scale, 0.0),
            ActivationDivergence("dynamic", 8, 1e-4 * scale, 0.0),
        )
        layers.append(
            LayerSensitivity(
                layer.name, layer.op, layer.shape, layer.parameters, {}, weights, activations
            )
        )
    return Sensitivity(sha256_of(source), "no audio", 1, 1.0, {}, tuple(layers))


def synthetic_times(sensitivity: Sensitivity) -> LayerTimes:
    """Static layers take a quarter of the time of float ones, dynamic ones half."""
    names = [layer.name for layer in sensitivity.layers]
    layers = {
        name: {"float32": 4.0 + i, "dynamic": 2.0 + i / 2, "static": 1.0 + i / 4}
        for i, name in enumerate(names)
    }
    whole = {
        compute: sum(times[compute] for times in layers.values())
        for compute in ("float32", "dynamic", "static")
    }
    return LayerTimes(sensitivity.model_sha256, "a host", "1.0", 1, 1.0, 5, layers, whole)
