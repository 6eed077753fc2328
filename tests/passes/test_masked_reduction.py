"""Masks go behind parts that make fewer channels."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from quantkit.passes.masked_reduction import mask_fewer_channels

INSIDE = np.arange(9) < 6
CONSTANTS = {
    "zero": np.float32(0),
    "w": np.random.default_rng(0).standard_normal((3, 8, 1)).astype(np.float32),
    "wide": np.random.default_rng(0).standard_normal((9, 8, 1)).astype(np.float32),
    "taps": np.random.default_rng(0).standard_normal((3, 8, 3)).astype(np.float32),
    "b": np.ones(3, np.float32),
    "inside": INSIDE,
    "by_clip": np.stack([INSIDE, ~INSIDE])[:, None],
    "by_channel": np.stack([INSIDE] * 8),
}
SHAPE = [2, 8, 9]


def masked(inside: str, weight: str, **attributes: list[int]) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Not", [inside], ["outside"]),
        helper.make_node("Where", ["outside", "zero", "x"], ["h"], "mask"),
        helper.make_node("Conv", ["h", weight], ["c"], "first", **attributes),
        helper.make_node("Identity", ["c"], ["y"]),
    ]


@pytest.mark.parametrize("inside", ["inside", "by_clip"])
def test_the_result_is_the_same_and_the_mask_is_behind(build, run, inside):
    model = build(masked(inside, "w"), CONSTANTS, SHAPE)
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    before = run(model, x)
    assert mask_fewer_channels(model)
    assert [n.op_type for n in model.graph.node] == ["Not", "Conv", "Where", "Identity"]
    np.testing.assert_allclose(run(model, x), before, atol=1e-6)
    # What lies outside no longer matters at all.
    x[:, :, 6:] = np.nan
    if inside == "inside":
        np.testing.assert_allclose(run(model, x), before, atol=1e-6)


def test_a_mask_before_a_where_with_its_zero_last(build, run):
    nodes = masked("inside", "w")
    nodes[1].input[:] = ["inside", "x", "zero"]
    model = build(nodes[1:], CONSTANTS, SHAPE)
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    before = run(model, x)
    assert mask_fewer_channels(model)
    np.testing.assert_allclose(run(model, x), before, atol=1e-6)


def with_bias() -> list[onnx.NodeProto]:
    nodes = masked("inside", "w")
    nodes[2].input.append("b")
    return nodes


def with_another_reader() -> list[onnx.NodeProto]:
    nodes = masked("inside", "w")
    return [*nodes[:3], helper.make_node("ReduceSum", ["h"], ["y"])]


@pytest.mark.parametrize(
    "nodes",
    [
        with_bias(),
        with_another_reader(),
        masked("by_channel", "w"),
        masked("inside", "wide"),
        masked("inside", "taps"),
        masked("inside", "w", strides=[2]),
        masked("inside", "w", pads=[1, 0]),
    ],
    ids=["bias", "two readers", "by channel", "more channels", "taps", "stride", "padding"],
)
def test_others_stay(build, nodes):
    model = build(nodes, CONSTANTS, SHAPE)
    before = model.SerializeToString()
    assert not mask_fewer_channels(model)
    assert model.SerializeToString() == before
