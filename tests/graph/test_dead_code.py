"""What nobody reads goes, and what the body of an ``If`` reads stays."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers, merge_initializers


def branching() -> onnx.ModelProto:
    """``x + (yes ? doubled : kept)``, of which both come from outside of the bodies."""
    value = helper.make_tensor_value_info

    def body(name: str, source: str) -> onnx.GraphProto:
        node = helper.make_node("Identity", [source], [name])
        return helper.make_graph([node], name, [], [value(name, TensorProto.FLOAT, [2])])

    constants = {"one": [1, 1], "kept": [1, 1], "again": [1, 1], "unread": [5, 5]}
    nodes = [
        helper.make_node("Add", ["one", "again"], ["doubled"]),
        helper.make_node("Add", ["one", "one"], ["dead"]),
        helper.make_node(
            "If",
            ["yes"],
            ["chosen"],
            then_branch=body("t", "doubled"),
            else_branch=body("e", "kept"),
        ),
        helper.make_node("Add", ["x", "chosen"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, [2]), value("yes", TensorProto.BOOL, [])],
        [value("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_only_what_is_used_and_different_is_left() -> None:
    model = branching()
    graph = model.graph
    drop_dead_nodes(graph)
    assert [name for node in graph.node for name in node.output] == ["doubled", "chosen", "y"]
    merge_initializers(graph)
    drop_unread_initializers(graph)
    assert [tensor.name for tensor in graph.initializer] == ["one", "kept"]
    assert list(graph.node[0].input) == ["one", "one"]
    onnx.checker.check_model(model, full_check=True)


def test_what_shall_stay_apart_does() -> None:
    graph = branching().graph
    merge_initializers(graph, {"again"})
    assert list(graph.node[0].input) == ["one", "again"]
