"""Channels that tower over the others of a layer's input are brought down before it is rounded.

Behind the nonlinearity of a transformer's feed-forward block a handful of channels can be fifty
times larger than the rest. One 8-bit grid for all of them leaves the rest a few levels.
SmoothQuant's factors have no place to go there: what makes the channels is not linear. So the layer
gets a multiplication of its own in front, by one number per channel, and its weights the
reciprocals: a vector in the file, and one pass over the activation at run time, against which the
product behind it costs ten times as much.

Factors make weights uneven, and those have grids, too. With m and x̄ the largest magnitude and the
root mean square of each channel, w the weights that meet it, and

    sⱼ = max(1, mⱼ / t),

both errors of the output are, for evenly spread rounding errors (B. Widrow and I. Kollár,
"Quantization Noise", 2008, chapter 1),

    E(t) = (Δx² Σⱼ sⱼ² ‖wⱼ‖² + Σₖ Δwₖ² Σⱼ (x̄ⱼ / sⱼ)²) / 12,
    Δx = maxⱼ (mⱼ / sⱼ) / 255,   Δwₖ = maxⱼ |sⱼ wⱼₖ| / (2ᵇ⁻¹ − 1),

and t is the one for which E is least. How many bits a layer gets is not known yet when this is
settled; b = 6, which is about what 4 to 5 bits on fitted levels are as good as.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from quantkit.arrays import FloatArray
from quantkit.errors import FormatError
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import operator_of
from quantkit.quantization.equalize.channel_scaling import (
    Junction,
    Magnitudes,
    find_junctions,
    move,
)
from quantkit.quantization.tied_weights import shared_weights

_SUFFIX = "/balance"
_INPUT_STEPS = 255
_WEIGHT_STEPS = 2**5 - 1
# Of the largest channel: what t is tried at.
_LIMITS = np.geomspace(1.0, 1 / 64, 25)
# What must be left of the error for the multiplication to be worth its time.
_WORTH = 0.8


@dataclass(frozen=True)
class Factors:
    """What balancing would do to one layer.

    Args:
        values: (channels,) at least 1; the input is divided by them.
        left: share of the expected error that remains.
    """

    values: FloatArray
    left: float


def insert_balances(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Give the layers ``names`` a multiplication in front, for now by ones, in place.

    Raises:
        FormatError: one of them is not in the graph, or no matrix product with a constant weight.
    """
    if not names:
        return
    editor = GraphEditor(model)
    nodes = {str(node.name): node for node in editor.nodes}
    for name in names:
        node = nodes.get(name)
        channels = None if node is None else _channels(editor, node)
        if node is None or channels is None:
            raise FormatError(
                f"layer {name} cannot be balanced: it is no matrix product with a weight of its own"
            )
        factors = editor.constant(f"{name}.balance", np.ones(channels, np.float32))
        balanced = editor.free_name(f"{name}.balanced")
        product = helper.make_node("Mul", [node.input[0], factors], [balanced], name + _SUFFIX)
        reader = onnx.NodeProto()
        reader.CopyFrom(node)
        reader.input[0] = balanced
        editor.replace(node, [product, reader])
    editor.finish()


def balances(editor: GraphEditor) -> list[Junction]:
    """Where :func:`insert_balances` made room for factors in a float model."""
    found = []
    for node in multiplications(editor):
        readers = editor.consumers.get(node.output[0], [])
        if [each.name + _SUFFIX for each in readers] != [node.name]:
            # A node of others that has such a name, too.
            continue
        values = editor.array(node.input[1])
        assert values is not None
        found.append(Junction(node, values.size, ((str(node.input[1]), 0),), tuple(readers)))
    return found


def multiplications(editor: GraphEditor) -> list[onnx.NodeProto]:
    """Those by the factors, their second input, as long as these are float32."""
    return [
        node
        for node in editor.nodes
        if node.op_type == "Mul"
        and node.name.endswith(_SUFFIX)
        and node.input[1] in editor.initializers
    ]


def make_unlike(model: onnx.ModelProto) -> None:
    """Fill in any factors, in place, for a model that is only measured.

    Vectors of ones alone would be stored once.
    """
    editor = GraphEditor(model)
    random = np.random.default_rng(0)
    for junction in balances(editor):
        move(editor, junction, random.uniform(1, 2, junction.channels).astype(np.float32))


def unbalanced(model: onnx.ModelProto, layers: Sequence[Layer]) -> dict[str, Junction]:
    """Layers that could be balanced, with a stand-in for the place where their factors would go.

    Those whose factors could go into constants that are there, or whose weight others share, are
    left out.
    """
    editor = GraphEditor(model)
    shared = {name for group in shared_weights(model, layers) for name in group}
    reached = {str(n.name) for junction in find_junctions(editor) for n in junction.readers}
    known = {layer.name for layer in layers} - shared - reached
    found = {}
    for node in editor.nodes:
        name = str(node.name)
        channels = _channels(editor, node) if name in known else None
        if channels is not None:
            found[name] = Junction(node, channels, (), (node,))
    return found


def worth_balancing(
    model: onnx.ModelProto, junctions: Mapping[str, Junction], met: Mapping[str, Magnitudes]
) -> tuple[str, ...]:
    """Those of the layers at ``junctions`` whose expected error falls by a fifth and more.

    Args:
        met: what they read, by their names.
    """
    editor = GraphEditor(model)
    return tuple(
        name
        for name, junction in junctions.items()
        if balancing_factors(met[name], reader_weight(editor, junction)).left <= _WORTH
    )


def balancing_factors(met: Magnitudes, weight: FloatArray) -> Factors:
    """The factors for one layer.

    Args:
        met: what it reads.
        weight: (channels, outputs).
    """
    largest = float(met.maxima.max(initial=0.0))
    if largest <= 0.0:
        return Factors(np.ones_like(met.maxima), 1.0)
    found = [
        (_error(met, weight, factors), factors)
        for factors in (np.maximum(1.0, met.maxima / (largest * limit)) for limit in _LIMITS)
    ]
    least, factors = min(found, key=lambda each: each[0])
    whole = found[0][0]
    return Factors(factors.astype(np.float32), least / whole if whole > 0.0 else 1.0)


def reader_weight(editor: GraphEditor, junction: Junction) -> FloatArray:
    """(channels, outputs) of the only layer that reads there."""
    (reader,) = junction.readers
    operator = operator_of(reader)
    assert operator is not None
    return operator.input_rows(editor, reader)


def _error(met: Magnitudes, weight: FloatArray, factors: FloatArray) -> float:
    scaled = np.abs(weight) * factors[:, None]
    input_step = float((met.maxima / factors).max()) / _INPUT_STEPS
    weight_steps = scaled.max(axis=0).astype(np.float64) / _WEIGHT_STEPS
    of_input = input_step**2 * float(np.square(scaled, dtype=np.float64).sum())
    power = float(np.square(met.root_mean_squares / factors, dtype=np.float64).sum())
    return of_input + float(np.square(weight_steps).sum()) * power


def _channels(editor: GraphEditor, node: onnx.NodeProto) -> int | None:
    """Of its input; None where it is no product of an activation and a constant matrix."""
    operator = operator_of(node)
    if operator is None or not operator.is_product:
        return None
    return operator.scalable_inputs(editor, node)
