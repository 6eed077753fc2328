"""A guard against rows without a key goes where there is no such row."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from quantkit.passes.nan_guard import drop_nan_guards

LOWEST = np.finfo(np.float32).min
CONSTANTS = {
    "w": np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32),
    "scale": np.float32(0.5),
    "zero": np.float32(0),
    "lowest": np.float32(LOWEST),
    "infinite": np.float32(-np.inf),
    "shape": np.array([2, 3, 5]),
    # The second query may look at no key.
    "seen": np.array([[True] * 5, [False] * 5, [True, False, True, True, False]]),
    "given": np.where(np.eye(3, 5, dtype=bool), np.float32(0), LOWEST),
}


def attention(*masking: onnx.NodeProto, scores: str = "scores") -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Mul", ["product", "scale"], ["scores"]),
        *masking,
        helper.make_node("Softmax", [scores], ["p"], axis=-1),
        helper.make_node("IsNaN", ["p"], ["broken"]),
        helper.make_node("Where", ["broken", "zero", "p"], ["guarded"], "guard"),
        helper.make_node("Identity", ["guarded"], ["y"]),
    ]


def masked(hidden: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Expand", ["seen", "shape"], ["all"]),
        helper.make_node("Where", ["all", "zero", hidden], ["mask"]),
        helper.make_node("Add", ["scores", "mask"], ["sum"]),
    ]


@pytest.mark.parametrize(
    "nodes",
    [
        attention(),
        attention(*masked("lowest"), scores="sum"),
        attention(helper.make_node("Add", ["scores", "given"], ["sum"]), scores="sum"),
    ],
    ids=["no mask", "a mask that is computed", "a mask that is given"],
)
def test_finite_masks_need_no_guard(build, run, nodes):
    model = build(nodes, CONSTANTS, [2, 3, 7])
    x = np.random.default_rng(1).standard_normal((2, 3, 7)).astype(np.float32)
    before = run(model, x)

    assert drop_nan_guards(model)

    assert {"IsNaN", "Where"}.isdisjoint(
        n.op_type for n in model.graph.node if "mask" not in n.output
    )
    np.testing.assert_array_equal(run(model, x), before)
    assert not drop_nan_guards(model)


@pytest.mark.parametrize(
    "nodes",
    [
        attention(*masked("infinite"), scores="sum"),
        attention(helper.make_node("Add", ["scores", "x"], ["sum"]), scores="sum"),
        attention(helper.make_node("Log", ["scores"], ["logs"]), scores="logs"),
    ],
    ids=["minus infinity", "an input", "what may be infinite"],
)
def test_where_a_row_may_be_empty_the_guard_stays(build, nodes):
    model = build(nodes, CONSTANTS, [2, 3, 5])
    before = model.SerializeToString()
    assert not drop_nan_guards(model)
    assert model.SerializeToString() == before


def test_other_replacements_stay(build):
    model = build(attention(), CONSTANTS | {"zero": np.float32(1)}, [2, 3, 7])
    assert not drop_nan_guards(model)
