"""Graphs of 16 bits compute in 32 what they computed, up to what 16 bits round."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.conversion.widen import halves_in, widen
from quantkit.graph.tensors import embed, tensor_array
from tests.conversion.conftest import Runs, graph_of, worst

HALF = TensorProto.FLOAT16


def weights(*shape: int) -> np.ndarray:
    return (0.3 * np.random.default_rng(1).standard_normal(shape)).astype(np.float16)


def inside() -> onnx.ModelProto:
    """Weights of float16 between casts, as converters leave them."""
    nodes = [
        helper.make_node("Cast", ["x"], ["x16"], "narrow", to=HALF),
        helper.make_node("MatMul", ["x16", "w"], ["m"], "product"),
        helper.make_node("Add", ["m", "b"], ["s"], "sum"),
        helper.make_node("Cast", ["s"], ["y"], "wide", to=TensorProto.FLOAT),
    ]
    return graph_of(nodes, {"x": ["n", 8]}, ["y"], {"w": weights(8, 4), "b": weights(4)})


def throughout() -> onnx.ModelProto:
    """The same with an input and an output of float16."""
    model = inside()
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], "product"),
        helper.make_node("Add", ["m", "b"], ["y"], "sum"),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = HALF
    return model


X = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)


def test_weights_between_casts(run: Runs, tmp_path: Path) -> None:
    model = inside()
    before = run(model, x=X)
    assert widen(model, tmp_path / "w", keep_interface=True) == "float16 is widened to float32"
    assert not halves_in(model)
    # What is left of the last cast keeps the name of the output.
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Add", "Identity"]
    assert worst(before, run(model, x=X)) < 2e-2


def test_an_interface_of_16_bits_goes(run: Runs, tmp_path: Path) -> None:
    model = throughout()
    before = run(model, x=X.astype(np.float16))
    widen(model, tmp_path / "w", keep_interface=False)
    assert not halves_in(model)
    assert worst(before, run(model, x=X)) < 2e-2


def test_or_it_stays(run: Runs, tmp_path: Path) -> None:
    model = throughout()
    declared = [model.graph.input[0], model.graph.output[0]]
    texts = [value.SerializeToString() for value in declared]
    before = run(model, x=X.astype(np.float16))
    widen(model, tmp_path / "w", keep_interface=True)
    assert [v.SerializeToString() for v in (*model.graph.input, *model.graph.output)] == texts
    after = run(model, x=X.astype(np.float16))
    assert after[0].dtype == np.float16
    assert worst(before, after) < 2e-2
    assert {t.data_type for t in model.graph.initializer} == {TensorProto.FLOAT}


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    values = weights(8, 4).astype(ml_dtypes.bfloat16)
    model = throughout()
    for tensor in model.graph.initializer:
        brain = numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16)
        tensor.CopyFrom(numpy_helper.from_array(brain, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.BFLOAT16
    assert widen(model, tmp_path / "w", keep_interface=False) == "bfloat16 is widened to float32"
    found = tensor_array(model.graph.initializer[0])
    np.testing.assert_array_equal(found, values.astype(np.float32))


def test_a_cast_of_integers_stays(run: Runs, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["n"], ["n16"], "cast", to=HALF),
        helper.make_node("Mul", ["n16", "c"], ["m"], "mul"),
        helper.make_node("Cast", ["m"], ["y"], "wide", to=TensorProto.FLOAT),
    ]
    model = graph_of(
        nodes, {"n": [3]}, ["y"], {"c": np.float16(0.5)}, types={"n": TensorProto.INT64}
    )
    widen(model, tmp_path / "w", keep_interface=True)
    assert run(model, n=np.array([1, 2, 3]))[0].tolist() == [0.5, 1.0, 1.5]


def test_constants_in_nodes_and_branches(run: Runs, tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.full(8, 2, np.float16), "c")
    info = helper.make_tensor_value_info("r", HALF, None)
    graphs = {
        which: helper.make_graph(
            [
                helper.make_node("Constant", [], ["c"], f"{which}.constant", value=value),
                helper.make_node("Mul", ["x16", "c"], ["r"], f"{which}.mul"),
            ],
            which,
            [],
            [info],
        )
        for which in ("then_branch", "else_branch")
    }
    nodes = [
        helper.make_node("Cast", ["x"], ["x16"], "narrow", to=HALF),
        helper.make_node("If", ["yes"], ["i"], "if", **graphs),
        helper.make_node("Cast", ["i"], ["y"], "wide", to=TensorProto.FLOAT),
    ]
    model = graph_of(nodes, {"x": ["n", 8]}, ["y"], {"yes": np.array(True)})
    before = run(model, x=X)
    widen(model, tmp_path / "w", keep_interface=True)
    assert not halves_in(model)
    assert worst(before, run(model, x=X)) < 1e-2


def test_large_weights_go_to_the_file(tmp_path: Path) -> None:
    model = throughout()
    large = weights(256, 256)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(large, "w"))
    widen(model, tmp_path / "w", keep_interface=False)
    assert (tmp_path / "w").stat().st_size == 2 * large.nbytes
    assert not model.graph.initializer[0].raw_data
    embed(model.graph.initializer)
    found = numpy_helper.to_array(model.graph.initializer[0])
    np.testing.assert_array_equal(found, large.astype(np.float32))


@pytest.mark.parametrize("keep_interface", [True, False])
def test_a_graph_of_32_bits_is_left_alone(keep_interface: bool, tmp_path: Path) -> None:
    model = graph_of([helper.make_node("Relu", ["x"], ["y"])], {"x": ["n"]}, ["y"])
    before = model.SerializeToString()
    assert widen(model, tmp_path / "w", keep_interface=keep_interface) == ""
    assert model.SerializeToString() == before
