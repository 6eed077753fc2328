"""A graph cut anywhere computes what it computes whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from quantkit.errors import ModelError
from quantkit.graph.partition import PartitionedGraph, ValueType
from tests.sensitivity.graphs import attention, residual

RANDOM = np.random.default_rng(5)


def run(model: onnx.ModelProto, feed: dict[str, Any]) -> dict[str, np.ndarray]:
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    wanted = {value.name for value in session.get_inputs()}
    return dict(zip(names, session.run(names, {n: feed[n] for n in wanted}), strict=True))


def types(values: dict[str, np.ndarray]) -> dict[str, ValueType]:
    return {
        name: ValueType(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in values.items()
    }


def graph_of(nodes, constants=None, inputs=("x",), outputs=("y",), **options) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.example", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **options)


@pytest.mark.slow
@pytest.mark.parametrize("build", [residual, attention])
def test_prefix_and_suffix_compute_what_the_whole_does_at_every_cut(build) -> None:
    model, feed = build()
    output = model.graph.output[0].name
    expected = run(model, feed)[output]
    graph = PartitionedGraph(model, [output])
    kinds: set[int] = set()
    for position in range(1, len(model.graph.node)):
        crossing = graph.live(position)
        made = [name for name in crossing if name not in feed]
        values = {**feed, **(run(graph.part(types(feed), made), feed) if made else {})}
        values = {name: values[name] for name in crossing}
        kinds |= {kind.element for kind in types(values).values()}
        found = run(graph.part(types(values), [output]), values)[output]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    if build is attention:
        assert kinds >= {TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL}


def test_segments_in_a_row_compute_what_the_whole_does() -> None:
    model, feed = attention()
    expected = run(model, feed)["log_probs"]
    graph = PartitionedGraph(model, ["log_probs"])
    values: dict[str, np.ndarray] = dict(feed)
    for position in (4, 9, 12, len(model.graph.node)):
        crossing = graph.live(position)
        made = [name for name in crossing if name not in values]
        values |= run(graph.part(types(values), made), values)
        values = {name: values[name] for name in crossing}
    np.testing.assert_allclose(values["log_probs"], expected, atol=1e-5)


def test_residual_crosses_the_cut_and_what_was_read_for_the_last_time_does_not() -> None:
    model = graph_of(
        [
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("Exp", ["a"], ["b"]),
            helper.make_node("Neg", ["b"], ["c"]),
            helper.make_node("Add", ["a", "c"], ["y"]),
        ]
    )
    graph = PartitionedGraph(model, ["y"])
    assert [graph.live(i) for i in range(5)] == [("x",), ("a",), ("b", "a"), ("a", "c"), ("y",)]


def test_part_holds_only_what_it_needs_and_constants_go_along() -> None:
    model = graph_of(
        [
            helper.make_node("Transpose", ["w1"], ["w1t"]),
            helper.make_node("MatMul", ["x", "w1t"], ["a"]),
            helper.make_node("MatMul", ["a", "w2"], ["b"]),
            helper.make_node("MatMul", ["b", "w1t"], ["y"]),
            helper.make_node("Abs", ["a"], ["aside"]),
        ],
        {"w1": np.eye(3, dtype=np.float32), "w2": np.eye(3, dtype=np.float32)},
    )
    graph = PartitionedGraph(model, ["y"])
    assert graph.live(3) == ("b",)
    part = graph.part({"b": ValueType(TensorProto.FLOAT, (None, 3))}, ["y"])
    assert [node.op_type for node in part.graph.node] == ["Transpose", "MatMul"]
    assert [tensor.name for tensor in part.graph.initializer] == ["w1"]
    assert [graph.needs(i) for i in range(5)] == [True] * 4 + [False]


def test_weight_can_be_handed_in() -> None:
    weight = RANDOM.standard_normal((3, 3)).astype(np.float32)
    model = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.zeros_like(weight)})
    x = RANDOM.standard_normal((2, 3)).astype(np.float32)
    part = PartitionedGraph(model, ["y"]).part(types({"x": x, "w": weight}), ["y"])
    np.testing.assert_allclose(run(part, {"x": x, "w": weight})["y"], x @ weight, rtol=1e-5)


def test_bodies_of_control_flow_read_across_the_cut() -> None:
    def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph(list(nodes), name, [], [value])

    doubled = branch("doubled", helper.make_node("Add", ["a", "a"], ["doubled"]))
    shifted = branch("shifted", helper.make_node("Add", ["a", "w"], ["shifted"]))
    model = graph_of(
        [
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Less", ["zero", "sum"], ["positive"]),
            helper.make_node("If", ["positive"], ["y"], then_branch=doubled, else_branch=shifted),
        ],
        {"w": np.float32(7), "zero": np.float32(0)},
    )
    graph = PartitionedGraph(model, ["y"])
    assert set(graph.live(3)) == {"positive", "a"}
    a = np.ones((2, 3), np.float32)
    values = {"a": a, "positive": np.array(False)}
    part = graph.part(types(values), ["y"])
    np.testing.assert_array_equal(run(part, values)["y"], a + 7)


def test_unknown_operators_and_functions_travel_along() -> None:
    function = helper.make_function(
        "com.example",
        "Twice",
        ["i"],
        ["o"],
        [helper.make_node("Add", ["i", "i"], ["o"])],
        [helper.make_opsetid("", 18)],
    )
    model = graph_of(
        [
            helper.make_node("Mystery", ["x"], ["a"], domain="com.example"),
            helper.make_node("Twice", ["a"], ["b"], domain="com.example"),
            helper.make_node("Relu", ["b"], ["y"]),
        ],
        functions=[function],
    )
    graph = PartitionedGraph(model, ["y"])
    before = graph.part({"x": ValueType(TensorProto.FLOAT, (2, 3))}, ["a"])
    assert before.graph.node[0].op_type == "Mystery"
    a = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(run(graph.part(types({"a": a}), ["y"]), {"a": a})["y"], 2 * a)


def test_graph_that_cannot_be_cut_is_refused() -> None:
    relu, neg = helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"], "neg")
    with pytest.raises(ModelError, match="node neg: its input a is not computed before"):
        PartitionedGraph(graph_of([neg, relu]), ["y"])
    with pytest.raises(ModelError, match="computes no value z"):
        PartitionedGraph(graph_of([relu, neg]), ["z"])
    with pytest.raises(ModelError, match="needs x, which is not handed in"):
        PartitionedGraph(graph_of([relu, neg]), ["y"]).part({}, ["y"])
