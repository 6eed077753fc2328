"""Neighbouring layers share their ranges, and compute what they did."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from quantkit.graph.editor import GraphEditor
from quantkit.quantization.equalize.channel_scaling import (
    Magnitudes,
    find_junctions,
    input_magnitudes,
    output_maxima,
)
from quantkit.quantization.equalize.equalization import Form, equalize
from tests.small_graphs import CHANNELS, Graph, run, values_of

X = np.random.default_rng(2).standard_normal((2, 30, CHANNELS)).astype(np.float32)


@pytest.fixture
def model() -> onnx.ModelProto:
    """Four layers whose channels have very different ranges."""
    graph = Graph()
    value = "x"
    for number in range(4):
        value = graph.linear(value, f"layer{number}", CHANNELS, CHANNELS)
        spread = np.exp(graph.random.uniform(-2, 2, CHANNELS)).astype(np.float32)
        graph.constants[f"layer{number}.w"] *= spread
        if number < 3:
            value = graph.add("Relu", [value], f"relu{number}")
    return graph.model("layer3.sum")


def activations(model: onnx.ModelProto) -> dict[str, Magnitudes]:
    """What each layer's reader meets, by running all layers up to it."""
    found: dict[str, Magnitudes] = {}
    constants, value = values_of(model), X
    for number in range(3):
        product = value @ constants[f"layer{number}.w"] + constants[f"layer{number}.b"]
        value = np.maximum(product, 0)
        maxima = value.max(axis=(0, 1))
        found[f"layer{number}"] = Magnitudes(maxima, np.sqrt((value**2).mean(axis=(0, 1))))
    return found


def equalized(model: onnx.ModelProto, form: Form) -> GraphEditor:
    before, seen = run(model, X), activations(model)
    editor = GraphEditor(model)
    equalize(editor, find_junctions(editor), form, seen)
    after = run(model, X)
    np.testing.assert_allclose(after, before, atol=1e-5 * np.abs(before).max())
    return editor


def test_weights_on_both_sides_have_the_same_range_in_each_channel(model) -> None:
    editor = GraphEditor(model)
    makes = [output_maxima(editor, j) for j in find_junctions(editor)]
    assert all(each.max() > 10 * each.min() for each in makes)
    editor = equalized(model, "weights")
    junctions = find_junctions(editor)
    assert len(junctions) == 3
    for junction in junctions:
        meets = input_magnitudes(editor, junction).maxima
        np.testing.assert_allclose(output_maxima(editor, junction), meets, rtol=0.01)


def test_weights_need_no_audio(model) -> None:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    equalized(model, "weights")
    editor = GraphEditor(copy)
    equalize(editor, find_junctions(editor))
    assert copy == model


def test_every_channel_of_an_activation_uses_the_whole_range(model) -> None:
    before = activations(model)
    assert all(each.maxima.max() > 5 * np.median(each.maxima) for each in before.values())
    equalized(model, "activations")
    for name, each in activations(model).items():
        alive = each.maxima > 1e-4 * before[name].maxima.max()
        assert alive.sum() > CHANNELS / 2
        np.testing.assert_allclose(each.maxima[alive], before[name].maxima.max(), rtol=1e-4)


def test_balanced_channels_weigh_as_much_as_what_meets_them(model) -> None:
    editor = equalized(model, "balanced")
    seen = activations(model)
    for junction in find_junctions(editor):
        weights = input_magnitudes(editor, junction).root_mean_squares
        met = seen[junction.maker.name].root_mean_squares
        alive = met > 1e-4 * met.max()
        assert alive.sum() > CHANNELS / 2
        np.testing.assert_allclose(met[alive], weights[alive], rtol=0.01)


def rounding_error(weight: np.ndarray, x: np.ndarray, bits: int) -> float:
    """Mean squared error of ``x @ weight`` on a grid with a step per output channel."""
    step = np.sqrt((weight**2).mean(axis=0)) * 6 / 2**bits
    rounded = np.rint(weight / step) * step
    return float(np.square(x @ (rounded - weight)).mean())


def test_balanced_form_makes_rounding_the_weights_cost_less(model) -> None:
    def error(model: onnx.ModelProto) -> float:
        constants, value = values_of(model), X.reshape(-1, CHANNELS)
        first = np.maximum(value @ constants["layer0.w"] + constants["layer0.b"], 0)
        weight = constants["layer1.w"]
        energy = np.square(first @ weight).mean(axis=0)
        return rounding_error(weight / np.sqrt(energy), first, 4)

    before = error(model)
    equalized(model, "balanced")
    assert error(model) < 0.8 * before
