"""Constants in any form that ONNX has are found by all that looks for them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quantkit.conversion.plain_constants import make_constants_plain
from tests.conversion.conftest import Runs, graph_of, worst

X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def sparse(name: str) -> onnx.SparseTensorProto:
    """Two of the 4 × 2 numbers are not zero."""
    values = numpy_helper.from_array(np.array([1.5, -2], np.float32), name)
    return helper.make_sparse_tensor(
        values, numpy_helper.from_array(np.array([1, 6]), f"{name}.places"), [4, 2]
    )


def test_sparse_weights_are_made_dense(run: Runs) -> None:
    model = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 4]}, ["y"])
    model.graph.sparse_initializer.append(sparse("w"))
    before = run(model, x=X)
    assert make_constants_plain(model) == "a sparse constant is made dense"
    assert not model.graph.sparse_initializer
    assert [tuple(t.dims) for t in model.graph.initializer] == [(4, 2)]
    assert worst(before, run(model, x=X)) == 0


def test_places_by_axis_mean_the_same(run: Runs) -> None:
    model = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 4]}, ["y"])
    flat = sparse("w")
    places = numpy_helper.from_array(np.array([[0, 1], [3, 0]]), "w.places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(flat.values, places, [4, 2]))
    before = run(model, x=X)
    make_constants_plain(model)
    assert worst(before, run(model, x=X)) == 0


def test_constant_nodes_of_numbers_hold_tensors(run: Runs) -> None:
    nodes = [
        helper.make_node("Constant", [], ["w"], sparse_value=sparse("w")),
        helper.make_node("Constant", [], ["b"], value_floats=[0.5, 2.0]),
        helper.make_node("Constant", [], ["s"], value_float=3.0),
        helper.make_node("Constant", [], ["shape"], value_ints=[2, -1]),
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Mul", ["a", "s"], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["y"]),
    ]
    model = graph_of(nodes, {"x": ["n", 4]}, ["y"])
    before = run(model, x=X[:2])
    assert make_constants_plain(model) == "a sparse constant is made dense"
    kinds = [each.name for node in model.graph.node[:4] for each in node.attribute]
    assert kinds == ["value"] * 4
    assert worst(before, run(model, x=X[:2])) == 0


def test_a_graph_without_such_is_left_alone() -> None:
    model = graph_of([helper.make_node("Relu", ["x"], ["y"])], {"x": ["n", 4]}, ["y"])
    before = model.SerializeToString()
    assert make_constants_plain(model) == ""
    assert model.SerializeToString() == before
