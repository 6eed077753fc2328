from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from quantkit.graph.layers import find_layers
from quantkit.passes.normalized_convolution import normalize_in_convolution
from quantkit.quantization.finalize import clean_up


def first_layer(*, quantized=True, weight=None, bias=False, **attributes):
    random = np.random.default_rng(0)
    channels = 6
    constants = {
        "w": random.standard_normal((channels, 1, 4)).astype(np.float32),
        "b": random.standard_normal(channels).astype(np.float32),
        "gamma": random.standard_normal(channels).astype(np.float32),
        "beta": random.standard_normal(channels).astype(np.float32),
        "scale": np.float32(1e-3),
        "zero": np.uint8(7),
    }
    if weight is not None:
        constants["w"] = weight
    attributes = {"strides": [2]} | attributes
    inputs = ["x", "w", "b"] if bias else ["x", "w"]
    nodes = [
        helper.make_node("Conv", inputs, ["c"], "first", **attributes),
        helper.make_node(
            "InstanceNormalization", ["c", "gamma", "beta"], ["n"], "norm", epsilon=1e-5
        ),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    if quantized:
        nodes.append(helper.make_node("QuantizeLinear", ["y", "scale", "zero"], ["q"]))
    return nodes, constants


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_every_clip_of_a_batch_is_normalised_by_itself(build, run, bias, stride):
    model = build(*first_layer(bias=bias, strides=[stride]), ["n", 1, "t"])
    x = np.random.default_rng(1).standard_normal((3, 1, 41)).astype(np.float32)
    x *= np.float32([1, 10, 0.01]).reshape(3, 1, 1)
    x += np.float32([0, -3, 5]).reshape(3, 1, 1)
    before = run(model, x)

    assert normalize_in_convolution(model)

    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"Conv", "InstanceNormalization"}
    np.testing.assert_allclose(run(model, x), before, rtol=1e-3, atol=1e-3)
    assert not normalize_in_convolution(model)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("samples", [4, 5, 6, 7, 8, 9, 12, 13])
def test_as_many_windows_as_fit_are_read(build, run, stride, samples):
    model = build(*first_layer(strides=[stride]), ["n", 1, "t"])
    x = np.random.default_rng(2).standard_normal((2, 1, samples)).astype(np.float32)
    before = run(model, x)
    assert normalize_in_convolution(model)
    np.testing.assert_allclose(run(model, x), before, rtol=1e-3, atol=1e-3)


def test_a_high_pass_filter_on_a_slow_signal_keeps_its_digits(build, run):
    """Its variance is the small difference of products that are a billion times as large."""
    weight = np.tile(np.float32([1, -3, 3, -1]), (6, 1, 1))
    nodes, constants = first_layer(weight=weight, strides=[1])
    model = build(nodes, constants, ["n", 1, "t"])
    time = np.arange(4_000)
    x = np.sin(time * 0.02)[None, None].astype(np.float32)
    x = np.round(x * 2**12) / np.float32(2**12)  # no rounding in either order of sums
    before = run(model, x)

    assert normalize_in_convolution(model)

    np.testing.assert_allclose(run(model, x), before, rtol=1e-3, atol=1e-2)


def test_silence_stays_finite(build, run):
    model = build(*first_layer(), ["n", 1, "t"])
    x = np.zeros((1, 1, 41), np.float32)
    before = run(model, x)
    normalize_in_convolution(model)
    np.testing.assert_allclose(run(model, x), before, atol=1e-6)


def test_the_layer_is_still_found_by_its_name(build):
    model = build(*first_layer(), ["n", 1, "t"])
    normalize_in_convolution(model)
    clean_up(model)
    (layer,) = find_layers(model)
    assert (layer.name, layer.shape) == ("first", (4, 6))


@pytest.mark.parametrize(
    "change",
    [
        {"quantized": False},
        {"pads": [1, 1]},
        {"dilations": [2]},
        {"weight": np.ones((6, 1, 17), np.float32)},
    ],
)
def test_what_the_rule_does_not_cover_stays(build, change):
    model = build(*first_layer(**change), ["n", 1, "t"])
    assert not normalize_in_convolution(model)
    assert model.graph.node[0].op_type == "Conv"


def scaled_layer(*, axis=2, quantized=True, bias=False):
    """Scale and shift are computed from the clip, as in a graph of `quantkit export`."""
    random = np.random.default_rng(0)
    constants = {
        "w": random.standard_normal((6, 1, 4)).astype(np.float32),
        "b": random.standard_normal(6).astype(np.float32),
        "gamma": random.standard_normal((1, 6)).astype(np.float32),
        "axes": np.array([axis]),
        "steps": np.array([1, 2]),
        "scale": np.float32(1e-3),
        "zero": np.uint8(7),
    }
    nodes = [
        helper.make_node(
            "Conv", ["x", "w", "b"] if bias else ["x", "w"], ["c"], "first", strides=[2]
        ),
        helper.make_node("ReduceMax", ["x", "steps"], ["loudest"], keepdims=0),
        helper.make_node("Unsqueeze", ["loudest", "one"], ["loudness"]),
        helper.make_node("Mul", ["loudness", "gamma"], ["s_flat"]),
        helper.make_node("Add", ["loudness", "gamma"], ["t_flat"]),
        helper.make_node("Unsqueeze", ["s_flat", "axes"], ["s"]),
        helper.make_node("Unsqueeze", ["t_flat", "axes"], ["t"]),
        helper.make_node("Mul", ["c", "s"], ["m"]),
        helper.make_node("Add", ["m", "t"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    constants["one"] = np.array([1])
    if quantized:
        nodes.append(helper.make_node("QuantizeLinear", ["y", "scale", "zero"], ["q"]))
    return nodes, constants


def test_scale_and_shift_of_every_clip_are_part_of_the_product(build, run):
    model = build(*scaled_layer(), ["n", 1, "t"])
    x = np.random.default_rng(1).standard_normal((3, 1, 41)).astype(np.float32)
    before = run(model, x)

    assert normalize_in_convolution(model)

    assert "Conv" not in {node.op_type for node in model.graph.node}
    assert "first" in {node.name for node in model.graph.node}
    np.testing.assert_allclose(run(model, x), before, rtol=1e-4, atol=1e-4)
    assert not normalize_in_convolution(model)


@pytest.mark.parametrize("change", [{"quantized": False}, {"axis": 0}, {"bias": True}])
def test_other_products_and_sums_stay(build, change):
    model = build(*scaled_layer(**change), ["n", 1, "t"])
    assert not normalize_in_convolution(model)
