"""Every planned layer of a float graph becomes what was chosen for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx

from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.opset import raise_opset
from quantkit.passes import finish
from quantkit.quantize.calibrate import Feed, Tracker, Watched, calibrate
from quantkit.quantize.cleanup import clean_up
from quantkit.quantize.dynamic import quantize_dynamic_layers
from quantkit.quantize.embedding import store_embeddings
from quantkit.quantize.matmul_nbits import quantize_matmul_nbits_layers
from quantkit.quantize.ranges import Moments, Range, RangeTracker, tracker
from quantkit.quantize.settings import LayerChoice
from quantkit.quantize.sharing import merge_transposes, share_moments, shared_weights
from quantkit.quantize.static import StaticLayout, lay_out, quantize_static_layers
from quantkit.quantize.weight_only import store_weights
from quantkit.quantize.weights import WeightStore

Choices = Mapping[str, LayerChoice]


@dataclass(frozen=True)
class Observations:
    """What calibration clips showed.

    Args:
        ranges: of the values that static layers read and write.
        second_moments, means: see :class:`~quantkit.quantize.weights.WeightStore`.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    second_moments: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    means: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)


def static_layout(model: onnx.ModelProto, choices: Choices) -> StaticLayout:
    """Where the grids of the static layers among ``choices`` lie."""
    static = {name: choice for name, choice in choices.items() if choice.compute == "static"}
    return lay_out(
        model,
        {name: choice.activation_bits for name, choice in static.items()},
        [name for name, choice in static.items() if choice.is_emulated],
    )


def observe(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    choices: Choices,
    feeds: Iterable[Feed],
    *,
    progress: Callable[[str], None] | None = None,
) -> Observations:
    """Run the clips once, for the ranges of static layers and the importance of weights.

    Raises:
        CorpusError, ModelError: see :func:`~quantkit.quantize.calibrate.calibrate`.
    """
    ranges: dict[str, RangeTracker] = {}
    moments: dict[str, Moments] = {}
    names: dict[str, str] = {}
    watched: dict[str, list[Tracker]] = {}
    for value, name in static_layout(model, choices).tensors().items():
        ranges[value] = tracker(choices[name].range)
        names[value] = name
        watched.setdefault(value, []).append(ranges[value])
    nodes = {node.name: node for node in model.graph.node}
    constants = {tensor.name for tensor in model.graph.initializer}
    for layer in layers:
        codec = choices[layer.name].codec
        if codec.is_float or codec.bits >= 8 or layer.op not in ("Conv", "MatMul", "Gemm"):
            continue
        value = str(nodes[layer.name].input[0])
        if value in constants:
            continue
        moments[layer.name] = Moments(1 if layer.op == "Conv" else -1)
        names.setdefault(value, layer.name)
        watched.setdefault(value, []).append(moments[layer.name])
    followed = {
        value: Watched(names[value], tuple(trackers)) for value, trackers in watched.items()
    }
    calibrate(model, followed, feeds, progress=progress)
    squares = {name: each.mean_square() for name, each in moments.items()}
    means = {name: each.mean() for name, each in moments.items()}
    known = {name: values for name, values in squares.items() if values is not None}
    return Observations(
        ranges={value: each.result() for value, each in ranges.items()},
        second_moments=share_moments(known, shared_weights(model, layers)),
        means={name: values for name, values in means.items() if values is not None},
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
        ranges: of the static layers; see :class:`Observations`.
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
    apart: frozenset[str] = frozenset()
    if pack:
        apart = weights.pack(model)
        _raise_opset_for(model, choices)
    clean_up(model, apart)
    return model


def _raise_opset_for(model: onnx.ModelProto, choices: Choices) -> None:
    """Let the operator set of ``model`` be one that knows what its decoders use."""
    needed = max(choice.codec.make().opset for choice in choices.values())
    if needed > GraphEditor(model).opset:
        raise_opset(model, needed)
