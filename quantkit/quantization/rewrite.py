"""Every planned layer of a float graph becomes what was chosen for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx

from quantkit.calibration.ranges import Range
from quantkit.graph.editor import GraphEditor
from quantkit.graph.opset import raise_opset
from quantkit.passes import finish
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.finalize import clean_up
from quantkit.quantization.float16_vectors import narrow_vectors
from quantkit.quantization.kernels.dynamic import quantize_dynamic_layers
from quantkit.quantization.kernels.embedding import store_embeddings
from quantkit.quantization.kernels.matmul_nbits import quantize_matmul_nbits_layers
from quantkit.quantization.kernels.static import StaticLayout, lay_out, quantize_static_layers
from quantkit.quantization.kernels.weight_only import store_weights
from quantkit.quantization.tied_weights import merge_transposes
from quantkit.quantization.weights import WeightStore

Choices = Mapping[str, LayerChoice]


def static_layout(model: onnx.ModelProto, choices: Choices) -> StaticLayout:
    """Where the grids of the static layers among ``choices`` lie."""
    static = {name: choice for name, choice in choices.items() if choice.compute == "static"}
    return lay_out(
        model,
        {name: choice.activation_bits for name, choice in static.items()},
        [name for name, choice in static.items() if choice.is_emulated],
    )


def rewrite(
    model: onnx.ModelProto,
    choices: Choices,
    ranges: Mapping[str, Range],
    weights: WeightStore,
    *,
    pack: bool = True,
    skip_passes: Collection[str] = (),
) -> onnx.ModelProto:
    """Rewrite the layers of ``model`` as chosen; returns the new model, ``model`` may be changed.

    Args:
        choices: by layer name; every one of them can be.
        ranges: of the values that static layers read and write.
        weights: encodes the weights of all layers that do not stay plain float32.
        pack: store the weights packed; else the same integers as plain tensors.
        skip_passes: see :func:`quantkit.passes.finish`.
    """
    by_compute: dict[str, dict[str, LayerChoice]] = {}
    for name, choice in choices.items():
        if not choice.is_plain_float:
            by_compute.setdefault(choice.compute, {})[name] = choice
    if not by_compute:
        return model
    static = by_compute.get("static", {})
    if static:
        layout = static_layout(model, choices)
        model = quantize_static_layers(model, layout, ranges, weights)
    quantize_dynamic_layers(model, by_compute.get("dynamic", {}), weights)
    emulated = [name for name, choice in static.items() if choice.is_emulated]
    weight_only = [*by_compute.get("float32", {}), *emulated]
    store_embeddings(model, weight_only, weights)
    store_weights(model, weight_only, weights)
    quantize_matmul_nbits_layers(model, by_compute.get("matmul-nbits", {}), weights)
    merge_transposes(model, weights.transposes)
    finish(model, skip_passes)
    narrow_vectors(model, {n for n, choice in choices.items() if choice.codec.bits <= 8})
    keep: frozenset[str] = frozenset()
    if pack:
        keep = weights.pack(model)
        _raise_opset_for(model, choices)
    clean_up(model, keep)
    return _without_garbage(model)


def _without_garbage(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy: what is taken out of a message keeps its memory as long as the message is there."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _raise_opset_for(model: onnx.ModelProto, choices: Choices) -> None:
    """Let the operator set of ``model`` be one that knows what its decoders use."""
    needed = max(choice.codec.make().opset for choice in choices.values())
    if needed > GraphEditor(model).opset:
        raise_opset(model, needed)
