"""A quantized model in float: every weight and input on its grid, every kernel a float one.

What the real artifact computes on integers, this computes in float32, up to rounding. It needs no
packing and no integer kernels, and any of its layers can be given back its float weight and input.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from quantkit.arrays import FloatArray
from quantkit.calibration.ranges import Range
from quantkit.errors import InputError
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.joined import repeated_nodes
from quantkit.graph.operators import node_weights
from quantkit.graph.partition import reads
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.choices.target_cpu import is_fitted
from quantkit.quantization.kernels.activations import (
    never_negative,
    quantize_per_batch,
    quantize_per_clip,
)
from quantkit.quantization.kernels.fake_quantize import round_activation, round_result
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer
from quantkit.sensitivity.layerwise import Unit


@dataclass(frozen=True)
class Simulation:
    """A model of float kernels on quantized numbers.

    Args:
        model: its nodes for a layer follow each other: the grid of the input, the layer, what the
            corrected bias takes off, the grid of the result; of a matrix product the grid comes
            before what is taken off. Values before and behind have their old names.
        units: where the nodes of each quantized layer lie.
        weights: name of the quantized weight of each such layer.
    """

    model: onnx.ModelProto
    units: Mapping[str, Unit]
    weights: Mapping[str, str]


def simulate(
    model: onnx.ModelProto, choices: Mapping[str, LayerChoice], weights: CandidateWeights
) -> Simulation:
    """The float graph ``model`` with every layer simulated according to ``choices``.

    Args:
        model: is not changed.
        choices: by layer name; layers that share a weight have the same codec.
        weights: of ``model``, with the ranges of all static layers among its observations.

    Raises:
        InputError: such a range is missing.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    editor = GraphEditor(changed)
    layout = weights.layout(choices)
    repeated = repeated_nodes(model)
    limits = weights.largest_levels(choices)
    quantized: dict[str, str] = {}
    replaced: set[str] = set()
    made_of: dict[int, list[onnx.NodeProto]] = {}
    tops: dict[str, int] = {}
    for top, scope, node, name in _places(editor, choices):
        choice, layer = choices[name], weights.layer(name)
        if choice.is_plain_float or layer is None:
            continue
        before = {id(each) for each in editor.nodes}
        values = weights.stored_by(layer, choice.codec, limits.get(name))
        replaced.add(layer.weight)
        quantized[name] = editor.constant(f"{name}.stored", values)
        # Files correct the biases of no others; see WeightStore.is_corrected.
        fitted = layer.is_stored(values) or is_fitted(choice.codec.make(), limited=name in limits)
        shift = layer.shift(values) if fitted else None
        node = _named(scope, node.name)
        _replace(scope, node, layer, quantized[name], shift)
        product = _named(scope, node.name)
        if choice.compute == "static":
            if name in layout.outputs:
                # The grid of a ReLU's result does the ReLU, too, when it comes before.
                result = layout.outputs[name]
                bits = layout.integer_bits(result)
                # The bias of a matrix product, and with it what is taken off, is added behind it.
                made = product if layer.placed.operator.adds_bias_behind else node
                bounds = _range(weights, name, result)
                round_result(editor, str(made.output[0]), name, bounds, bits)
                product = _named(scope, node.name)
            value = layout.inputs[name]
            bounds = _range(weights, name, value)
            round_activation(editor, product, bounds, layout.bits[value])
        elif choice.compute == "dynamic" and not layer.placed.meets_state:
            if name in repeated:
                _round_each_token(scope, product, choice)
            else:
                _round_at_run_time(scope, product, choice)
        new = [each for each in editor.nodes if id(each) not in before]
        made_of.setdefault(id(top), []).extend(new or [top])
        tops[name] = id(top)
    editor.finish()
    _drop_unread(changed, replaced)
    positions = {id(node): i for i, node in enumerate(editor.nodes)}
    units: dict[str, Unit] = {}
    for name, place in tops.items():
        # Of a node with two weights, what was made for the first was replaced for the second.
        places = [positions[id(node)] for node in made_of[place] if id(node) in positions]
        units[name] = Unit(name, min(places), max(places))
    return Simulation(changed, units, quantized)


def _places(
    editor: GraphEditor, choices: Mapping[str, LayerChoice]
) -> list[tuple[onnx.NodeProto, GraphEditor, onnx.NodeProto, str]]:
    """For each layer its node in the main graph, the editor of its own graph, node, and name."""
    return [
        (top, scope, node, weight.name)
        for top in editor.nodes
        for scope, node in editor.within(top)
        for weight in node_weights(scope, node)
        if weight.name in choices
    ]


def _named(editor: GraphEditor, name: str) -> onnx.NodeProto:
    return next(each for each in editor.nodes if each.name == name)


def _range(weights: CandidateWeights, layer: str, value: str) -> Range:
    """Of ``value``, which ``layer`` reads or makes."""
    found = weights.observations.ranges.get(value)
    if found is None:
        raise InputError(
            f"layer {layer}: the range of {value} was not observed; observe the clips with the "
            "choices that are to be simulated"
        )
    return found


def _replace(
    editor: GraphEditor,
    node: onnx.NodeProto,
    layer: FloatLayer,
    weight: str,
    shift: FloatArray | None,
) -> None:
    """Let ``node`` multiply by ``weight``, and take ``shift`` off what comes out."""
    product = copy_node(node)
    for position, name in enumerate(node.input):
        if name == layer.weight:
            product.input[position] = weight
    nodes = [product]
    if shift is not None:
        product.output[0] = editor.free_name(f"{node.name}.uncorrected")
        taken_off = editor.constant(f"{node.name}.shift", shift)
        nodes.append(
            helper.make_node(
                "Sub", [product.output[0], taken_off], [node.output[0]], f"{node.name}/correct"
            )
        )
    editor.replace(node, nodes)


def _round_at_run_time(editor: GraphEditor, node: onnx.NodeProto, choice: LayerChoice) -> None:
    """Round the first input of ``node`` as a dynamic layer would."""
    source, prefix = str(node.input[0]), str(node.name)
    nodes: list[onnx.NodeProto] = []
    if choice.dynamic_range == "per-clip":
        nonnegative = never_negative(editor, source)
        grid = quantize_per_clip(
            editor, source, prefix, nonnegative, nodes, bits=choice.activation_bits
        )
        scale = editor.constant(f"{prefix}.step_scale", np.float32(1.0))
    else:
        grid = quantize_per_batch(editor, source, prefix, nodes, choice.activation_bits)
        scale = grid.scale
    value = editor.free_name(f"{prefix}.input_rounded")
    inputs = [grid.value, scale, grid.zero_point]
    nodes.append(helper.make_node("DequantizeLinear", inputs, [value], f"{prefix}/dequantize"))
    if grid.per_clip:
        steps, value = value, editor.free_name(f"{prefix}.input_rescaled")
        nodes.append(helper.make_node("Mul", [steps, grid.scale], [value], f"{prefix}/rescale"))
    product = copy_node(node)
    product.input[0] = value
    editor.replace(node, [*nodes, product])


def _round_each_token(editor: GraphEditor, node: onnx.NodeProto, choice: LayerChoice) -> None:
    """Round the first input of ``node`` as a dynamic layer would that sees one token at a time."""
    source, prefix = str(node.input[0]), str(node.name)
    nodes: list[onnx.NodeProto] = []

    def add(op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = editor.free_name(f"{prefix}.{part}")
        nodes.append(helper.make_node(op, inputs, [output], f"{prefix}/{part}", **attributes))
        return output

    def number(part: str, value: float) -> str:
        return editor.constant(f"{prefix}.{part}", np.float32(value))

    last = editor.constant(f"{prefix}.channels_axis", np.array([-1], np.int64))
    smallest = number("smallest_scale", float(np.finfo(np.float32).tiny))
    levels = 2**choice.activation_bits
    steps = number("steps", levels - 1)
    if choice.dynamic_range == "per-clip" and not never_negative(editor, source):
        # See quantize_per_clip: zero has a fixed place in the middle.
        magnitude = add("ReduceMax", [add("Abs", [source], "magnitude"), last], "largest")
        above = number("steps_above", max(levels // 2 - 1, 1))
        scale = add("Max", [add("Div", [magnitude, above], "raw_scale"), smallest], "scale")
        first = number("first_step", -(levels // 2))
    else:
        zero = number("no_step", 0.0)
        lowest = add("Min", [add("ReduceMin", [source, last], "smallest"), zero], "lowest")
        highest = add("Max", [add("ReduceMax", [source, last], "largest"), zero], "highest")
        span = add("Div", [add("Sub", [highest, lowest], "span"), steps], "raw_scale")
        scale = add("Max", [span, smallest], "scale")
        first = add("Round", [add("Div", [lowest, scale], "steps_below")], "first_step")
    step = add("Round", [add("Div", [source, scale], "scaled")], "step")
    end = add("Add", [first, steps], "last_step")
    on_grid = add("Min", [add("Max", [step, first], "not_below"), end], "on_grid")
    product = copy_node(node)
    product.input[0] = add("Mul", [on_grid, scale], "input_rounded")
    editor.replace(node, [*nodes, product])


def _drop_unread(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Remove those of the initializers ``names`` that are unused."""
    graph = model.graph
    unread = set(names) - {name for node in graph.node for name in reads(node)}
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name in unread:
            del graph.initializer[index]
