"""Search of activation ranges and weight steps by the error of the layer's output.

The search is that of Fish et al. 2023, "A Model for Every User and Budget: Label-Free and
Personalized Mixed-Precision Quantization" (myQASR): the ranges that clip nothing are multiplied by
factors up to one, alternately for weights and activations. Here every channel's weights have their
own step, the two ends of an asymmetric activation range are searched separately, and a range that
several layers read, such as queries, keys and values of attention, is shared. The criterion is
:mod:`~quantkit.quantization.output_error` on some rows of input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx

from quantkit.calibration.input_samples import InputSamples
from quantkit.calibration.observations import Observations
from quantkit.calibration.ranges import SEARCHES
from quantkit.codecs.uniform import EvenlySpaced, UniformGrid
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import LayerWeight, layer_weights
from quantkit.quantization.alternating_search import Product, search
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.kernels.static import StaticLayout
from quantkit.quantization.output_error import OUTPUT_ERRORS
from quantkit.quantization.rewrite import static_layout
from quantkit.quantization.tied_weights import limited_layers, share_moments, shared_weights


def search_ranges(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    choices: Mapping[str, LayerChoice],
    observations: Observations,
    fitting: PtqSettings,
) -> Observations:
    """Replace ranges that are to be searched, and add the steps of weights.

    Steps are found for layers whose codec has evenly spaced levels, unless ``fitting`` leaves
    them to the codec. While a range is searched, weights without such steps count as float.

    Args:
        model: float; is not changed.
        observations: with the extremes of the ranges to be searched, and samples of inputs; what
            lacks a sample keeps its extremes, and leaves its steps to the codec.
    """
    searched = any(choice.range in SEARCHES for choice in choices.values())
    if not searched and fitting.weight_range == "search":
        return observations
    editor = GraphEditor(model)
    weights = layer_weights(editor)
    layout = static_layout(model, choices)
    makers = layout.tensors()
    limits = limited_layers(model, layers, choices, fitting)
    ranges, scales = dict(observations.ranges), dict(observations.scales)
    for value, names in _readers(layers, layout):
        products: dict[str, Product] = {}
        for name in names:
            spaced = _levels(choices[name], fitting, limits.get(name))
            product = _product(weights[name], spaced, observations.samples.get(name))
            if product is not None:
                products[name] = product
        label = choices[makers[value]].range if value in makers else ""
        found = search(
            tuple(products.values()),
            ranges.get(value),
            layout.coarsest_bits(value),
            step_error=OUTPUT_ERRORS.get(fitting.weight_range),
            bounds_error=OUTPUT_ERRORS.get(label),
        )
        if found.bounds is not None:
            ranges[value] = found.bounds
        for name, steps in zip(products, found.steps, strict=True):
            observed = name in observations.samples
            if steps is not None and (observed or fitting.weight_range == "min-max"):
                scales[name] = steps.reshape(-1)
    scales = share_moments(scales, shared_weights(model, layers))
    return replace(observations, ranges=ranges, scales=scales)


def _readers(layers: Sequence[Layer], layout: StaticLayout) -> list[tuple[str, list[str]]]:
    """Values with a grid and the layers that read them; layers without one on their own."""
    readers: dict[str, list[str]] = {}
    alone: list[tuple[str, list[str]]] = []
    for layer in layers:
        if layer.name in layout.inputs:
            readers.setdefault(layout.inputs[layer.name], []).append(layer.name)
        else:
            alone.append(("", [layer.name]))
    return [*readers.items(), *alone]


def _levels(choice: LayerChoice, fitting: PtqSettings, largest: int | None) -> UniformGrid | None:
    codec = choice.codec.make()
    if fitting.weight_range == "search" or not isinstance(codec, EvenlySpaced):
        return None
    return codec.spacing.within(largest)


def _product(
    layer: LayerWeight,
    levels: UniformGrid | None,
    samples: InputSamples | None,
) -> Product | None:
    """None for layers whose weight is not to be rounded along its output channels."""
    values = None if layer.stands_left else layer.array()
    if values is None or values.dtype != np.float32:
        return None
    rows = layer.rows()
    axis = layer.axis(rows.ndim)
    weight = np.moveaxis(rows, axis, 0).reshape(1, rows.shape[axis], -1)
    if samples is None:
        return Product(np.zeros((1, 0, weight.shape[2]), np.float32), weight, levels)
    groups = samples.geometry.groups
    return Product(samples.rows(), weight.reshape(groups, -1, weight.shape[2]), levels)
