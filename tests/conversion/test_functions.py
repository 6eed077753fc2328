"""Functions of a model's own are inlined, whatever opset each of them has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import helper

from quantkit.conversion.functions import inline_functions
from quantkit.errors import ModelError
from tests.conversion.conftest import Runs, graph_of, worst

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def function(name: str, nodes: Sequence[onnx.NodeProto], opset: int = 18) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("blocks", 1)]
    return helper.make_function("blocks", name, ["X"], ["Y"], list(nodes), imports)


def call(name: str, source: str, result: str) -> onnx.NodeProto:
    return helper.make_node(name, [source], [result], f"{name}.{result}", domain="blocks")


def block(opset: int = 18) -> onnx.FunctionProto:
    nodes = [
        helper.make_node("Relu", ["X"], ["r"], "relu"),
        helper.make_node("Neg", ["r"], ["Y"], "neg"),
    ]
    return function("Block", nodes, opset)


def model_of(
    functions: Sequence[onnx.FunctionProto], nodes: Sequence[onnx.NodeProto], opset: int = 18
) -> onnx.ModelProto:
    model = graph_of(nodes, {"x": [2, 3]}, ["y"], opset=opset)
    model.functions.extend(functions)
    return model


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_functions_within_functions(opset: int, run: Runs) -> None:
    two = function("Two", [call("Block", "X", "m"), call("Block", "m", "Y")], opset)
    model = model_of([block(opset), two], [call("Two", "x", "a"), call("Block", "a", "y")], opset)
    before = run(model, x=X)
    assert inline_functions(model) == "2 functions are inlined (Block, Two)"
    assert not model.functions
    assert {entry.domain for entry in model.opset_import} == {""}
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names) == 6
    assert worst(before, run(model, x=X)) == 0


@pytest.mark.parametrize("opsets", [(13, 18), (18, 13), (21, 18), (17, 20)])
def test_functions_of_another_opset(opsets: tuple[int, int], run: Runs) -> None:
    model = model_of([block(opsets[0])], [call("Block", "x", "y")], opsets[1])
    before = run(model, x=X)
    assert inline_functions(model) == "a function is inlined (Block)"
    assert model.opset_import[0].version == max(*opsets, 18)
    assert worst(before, run(model, x=X)) == 0


def test_a_function_that_would_mean_something_else_is_refused() -> None:
    old = function("Old", [helper.make_node("Softmax", ["X"], ["Y"], "softmax")], 11)
    model = model_of([old], [call("Old", "x", "y")])
    with pytest.raises(ModelError, match="its function Old has opset 11, and Softmax means"):
        inline_functions(model)


def test_a_function_that_calls_itself_is_refused() -> None:
    loop = function("Loop", [call("Loop", "X", "Y")])
    model = model_of([loop], [call("Loop", "x", "y")])
    with pytest.raises(ModelError, match="its function Loop calls itself"):
        inline_functions(model)


def test_functions_that_fill_the_memory_are_refused() -> None:
    functions = [block()]
    for number in range(40):
        inner = functions[-1].name
        functions.append(function(f"F{number}", [call(inner, "X", "m"), call(inner, "m", "Y")]))
    model = model_of(functions, [call("F39", "x", "y")])
    with pytest.raises(ModelError, match="hold more than 1,000,000 nodes"):
        inline_functions(model)


def test_a_model_without_functions_is_left_alone() -> None:
    model = model_of([], [helper.make_node("Relu", ["x"], ["y"])])
    before = model.SerializeToString()
    assert inline_functions(model) == ""
    assert model.SerializeToString() == before
