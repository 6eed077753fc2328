from __future__ import annotations

import math

import numpy as np
import pytest
from onnx import helper

from quantkit.passes.gelu import canonical_gelu

CONSTANTS = {
    "root": np.float32(math.sqrt(2.0)),
    "inverse": np.float32(math.sqrt(0.5)),
    "one": np.float32(1.0),
    "half": np.float32(0.5),
}


def gelu(*, source="x", result="y", divide=True, swapped=False):
    def pair(a, b):
        return [b, a] if swapped else [a, b]

    scale = ("Div", [source, "root"]) if divide else ("Mul", pair(source, "inverse"))
    return [
        helper.make_node(*scale, ["scaled"]),
        helper.make_node("Erf", ["scaled"], ["erf"]),
        helper.make_node("Add", pair("erf", "one"), ["plus"]),
        helper.make_node("Mul", pair("half", "plus"), ["halved"]),
        helper.make_node("Mul", pair(source, "halved"), [result], "gelu"),
    ]


@pytest.mark.parametrize("divide", [True, False])
@pytest.mark.parametrize("swapped", [True, False])
def test_onnx_runtime_fuses_what_the_pass_leaves_and_the_numbers_stay(
    build, run, optimised_operators, divide, swapped
):
    model = build(gelu(divide=divide, swapped=swapped), CONSTANTS, ["n", 7])
    x = np.linspace(-4, 4, 21, dtype=np.float32).reshape(3, 7)
    before = run(model, x)
    assert "Gelu" not in optimised_operators(model)

    assert canonical_gelu(model)

    assert optimised_operators(model) == ["Gelu"]
    np.testing.assert_allclose(run(model, x), before, atol=1e-6)
    assert not canonical_gelu(model)


@pytest.mark.parametrize("constant", ["root", "one", "half"])
def test_another_constant_is_another_function(build, constant):
    model = build(gelu(), CONSTANTS | {constant: np.float32(0.7)}, ["n", 7])
    before = model.SerializeToString()
    assert not canonical_gelu(model)
    assert model.SerializeToString() == before


def test_a_part_that_somebody_else_reads_stays(build):
    model = build(gelu(), CONSTANTS, ["n", 7])
    model.graph.output.append(helper.make_tensor_value_info("halved", 1, None))
    assert not canonical_gelu(model)
    assert [n.op_type for n in model.graph.node] == ["Div", "Erf", "Add", "Mul", "Mul"]


def test_the_last_node_keeps_its_name(build):
    model = build(gelu(), CONSTANTS, ["n", 7])
    canonical_gelu(model)
    assert "gelu" in {node.name for node in model.graph.node}
