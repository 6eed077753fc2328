from __future__ import annotations

import numpy as np
from onnx import helper

from quantkit.graph.layers import find_layers
from quantkit.passes.constant_weights import fold_constant_weights
from quantkit.quantization.finalize import clean_up


def weight_normalised(source="direction"):
    return [
        helper.make_node("ReduceL2", [source, "axes"], ["norm"], keepdims=1),
        helper.make_node("Div", ["length", "norm"], ["factor"]),
        helper.make_node("Mul", [source, "factor"], ["weight"]),
        helper.make_node("Conv", ["x", "weight"], ["y"], "positions", group=2, pads=[1, 1]),
    ]


def constants():
    random = np.random.default_rng(0)
    return {
        "direction": random.standard_normal((4, 2, 3)).astype(np.float32),
        "length": random.random((1, 1, 3)).astype(np.float32),
        "axes": np.array([0, 1]),
    }


def test_weight_normalisation_becomes_a_plain_weight_of_the_same_layer(build, run):
    model = build(weight_normalised(), constants(), ["n", 4, "t"])
    x = np.random.default_rng(1).standard_normal((2, 4, 9)).astype(np.float32)
    before = run(model, x)

    assert fold_constant_weights(model)
    clean_up(model)

    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert [(layer.name, layer.shape) for layer in find_layers(model)] == [("positions", (4, 2, 3))]
    assert len(model.graph.initializer) == 1
    np.testing.assert_allclose(run(model, x), before, rtol=1e-5, atol=1e-6)
    assert not fold_constant_weights(model)


def test_a_weight_that_depends_on_the_input_stays(build):
    nodes = [
        helper.make_node("Mul", ["x", "factor"], ["scaled"]),
        helper.make_node("MatMul", ["x", "scaled"], ["y"]),
    ]
    model = build(nodes, {"factor": np.float32(2)}, [3, 3])
    assert not fold_constant_weights(model)
    assert len(model.graph.node) == 2


def test_an_operator_that_no_parametrisation_uses_stays(build):
    """Packed weights decode themselves by Gather: folding them would undo the packing."""
    nodes = [
        helper.make_node("Gather", ["table", "codes"], ["weight"]),
        helper.make_node("MatMul", ["x", "weight"], ["y"]),
    ]
    values = {"table": np.float32([-1, 0, 1]), "codes": np.zeros((3, 2), np.int64)}
    model = build(nodes, values, ["n", 3])
    assert not fold_constant_weights(model)
