"""What holds weights and is no layer is named, and weights that are no numbers are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.graph.weight_holders import (
    held_in_words,
    require_finite_weights,
    weight_holders,
)

LARGE = np.ones((16, 32), np.float32)


def model_of(nodes: Sequence[onnx.NodeProto], **constants: np.ndarray) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes),
        "g",
        [info("x", TensorProto.FLOAT, ["n", 16])],
        [info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def strange(source: str, weight: str, result: str, domain: str = "com.someone") -> onnx.NodeProto:
    return helper.make_node("Mixture", [source, weight], [result], result, domain=domain)


def test_layers_are_not_among_them() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), strange("m", "v", "y")]
    found = weight_holders(model_of(nodes, w=LARGE, v=LARGE.T.copy()))
    assert found == {"com.someone:Mixture": 512}


def test_a_weight_is_counted_once_and_by_whoever_computes_with_it() -> None:
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"]),
        strange("x", "t", "m"),
        strange("m", "t", "y"),
    ]
    assert weight_holders(model_of(nodes, w=LARGE)) == {"com.someone:Mixture": 512}


def test_branches_are_looked_into() -> None:
    info = helper.make_tensor_value_info("r", TensorProto.FLOAT, None)
    body = helper.make_graph([strange("x", "w", "r")], "body", [], [info])
    node = helper.make_node("If", ["yes"], ["y"], then_branch=body, else_branch=body)
    found = weight_holders(model_of([node], w=LARGE, yes=np.array(True)))
    assert found == {"com.someone:Mixture": 512}


def test_vectors_and_small_matrices_are_no_weights() -> None:
    nodes = [strange("x", "s", "m"), strange("m", "v", "y")]
    small, vector = np.ones((4, 4), np.float32), np.ones(4096, np.float32)
    assert weight_holders(model_of(nodes, s=small, v=vector)) == {}


def test_tables_of_standard_operators_are_named_only_where_they_are_most_of_it() -> None:
    add = helper.make_node("Add", ["m", "v"], ["y"])
    table = {"v": np.ones((8, 32), np.float32)}
    product = helper.make_node("MatMul", ["x", "w"], ["m"])
    large = np.ones((16, 4096), np.float32)
    assert held_in_words(model_of([product, add], w=large, **table)) == ()
    other = helper.make_node("Mul", ["x", "x"], ["m"])
    assert held_in_words(model_of([other, add], **table)) == (
        "operators that cannot be quantized hold weights: Add (256)",
    )


def test_a_layout_of_one_processor_gets_advice() -> None:
    node = strange("x", "w", "y", "com.microsoft.nchwc")
    (line,) = held_in_words(model_of([node], w=LARGE))
    assert line.endswith("let ONNX Runtime save it at level `extended`, not `all`")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(value: float) -> None:
    broken = LARGE.copy()
    broken[3, 4] = value
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"], "dense")], w=broken)
    with pytest.raises(ModelError, match=r"m: layer dense has weights .* \(1 of 512\)"):
        require_finite_weights(model, Path("m"))


def test_large_numbers_are_numbers() -> None:
    large = np.full((16, 32), np.finfo(np.float32).max, np.float32)
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"], "dense")], w=large)
    require_finite_weights(model, Path("m"))
