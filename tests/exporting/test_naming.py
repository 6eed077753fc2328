"""Traced graphs get names that a person can read in a plan."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.exporting.naming import name_by_module


def node(op: str, inputs: list[str], outputs: list[str], scopes: list[str]) -> onnx.NodeProto:
    made = helper.make_node(op, inputs, outputs, f"node_{outputs[0]}")
    entry = made.metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", repr(scopes)
    return made


def graph(nodes: list[onnx.NodeProto], weights: list[str]) -> onnx.GraphProto:
    return helper.make_graph(
        nodes,
        "traced",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((2, 2), np.float32), name) for name in weights],
    )


def test_a_layer_has_its_modules_name_and_other_nodes_their_operators() -> None:
    made = graph(
        [
            node("MatMul", ["x", "a.0.q.weight"], ["m"], ["", "a.0", "a.0.q", "matmul"]),
            node("Add", ["m", "val_1"], ["s"], ["", "a.0", "a.0.q", "add_7"]),
            node("MatMul", ["s", "s"], ["t"], ["", "a.0", "matmul_1"]),
            node("Softmax", ["t"], ["y"], ["", "softmax"]),
        ],
        ["a.0.q.weight", "val_1"],
    )
    name_by_module(made)
    assert [n.name for n in made.node] == ["a.0.q", "a.0.q.add", "a.0.matmul", "softmax"]
    assert [tensor.name for tensor in made.initializer] == ["a.0.q.weight", "constant0"]
    assert list(made.node[1].input) == ["a.0.q", "constant0"]
    assert made.node[3].output[0] == "y"


def test_names_are_used_once_for_each_result_too() -> None:
    made = graph(
        [
            node("Split", ["x"], ["p", "q"], ["", "a", "split"]),
            node("Relu", ["p"], ["r"], ["", "a", "relu"]),
            node("Relu", ["q"], ["s"], ["", "a", "relu_1"]),
            node("Add", ["r", "s"], ["y"], ["_from_nowhere", "add"]),
        ],
        [],
    )
    name_by_module(made)
    assert [list(n.output) for n in made.node] == [
        ["a.split", "a.split2"],
        ["a.relu"],
        ["a.relu2"],
        ["y"],
    ]
    assert made.node[3].name == "add"
