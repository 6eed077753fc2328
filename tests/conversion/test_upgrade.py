"""Graphs of opset 7 to 17 compute in opset 18 what they computed before."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quantkit.conversion.upgrade import upgrade
from quantkit.errors import ModelError
from quantkit.graph.tensors import leave_in_file
from tests.conversion.conftest import Runs, graph_of, worst

SCALES = np.array([1, 1, 2, 3], np.float32)
FOUR = {name: np.linspace(0.5, 2, 4, dtype=np.float32) for name in "sbmv"}
RANK4 = (2, 4, 5, 6)


def alone(
    op: str,
    opset: int,
    outputs: int = 1,
    constants: dict[str, Any] | None = None,
    shape: tuple[int, ...] | None = (2, 4, 5),
    **attributes: Any,
) -> onnx.ModelProto:
    """One node that reads ``x`` and constants."""
    names = [f"y{number}" for number in range(outputs)]
    node = helper.make_node(op, ["x", *(constants or {})], names, "node", **attributes)
    types = {"y1": TensorProto.INT64} if op == "TopK" else {}
    return graph_of([node], {"x": shape}, names, constants, opset, types)


CASES = {
    **{
        f"{op} over {axis}": (op, 11, {"axis": axis})
        for op in ("Softmax", "LogSoftmax")
        for axis in (0, 1, 2, -1)
    },
    "Softmax over what it says not": ("Softmax", 12, {}),
    "Squeeze": ("Squeeze", 11, {"axes": [1], "shape": (2, 1, 5)}),
    "Unsqueeze": ("Unsqueeze", 11, {"axes": [1, 3]}),
    "ReduceSum": ("ReduceSum", 12, {"axes": [1], "keepdims": 0}),
    "ReduceMean of 17": ("ReduceMean", 17, {"axes": [-1]}),
    "ReduceMax of all": ("ReduceMax", 13, {}),
    "Split evenly, 13": ("Split", 13, {"axis": 1, "outputs": 2}),
    "Split evenly, 11": ("Split", 11, {"axis": 1, "outputs": 2}),
    "Split": ("Split", 11, {"axis": 1, "split": [1, 3], "outputs": 2}),
    "Slice": ("Slice", 9, {"axes": [1], "starts": [1], "ends": [3]}),
    "TopK": ("TopK", 9, {"axis": 1, "k": 2, "outputs": 2}),
    "Pad": ("Pad", 10, {"pads": [0, 1, 0, 0, 2, 0], "value": 3.0}),
    "Clip": ("Clip", 10, {"min": 0.0, "max": 0.5}),
    "Clip on one side": ("Clip", 7, {"min": 0.0}),
    "Dropout": ("Dropout", 7, {"ratio": 0.3}),
    "BatchNormalization": ("BatchNormalization", 9, {"constants": FOUR}),
    "Upsample, nearest": ("Upsample", 7, {"scales": [1.0, 1.0, 2.0, 3.0], "shape": RANK4}),
    "Upsample, linear": (
        "Upsample",
        9,
        {"constants": {"c": SCALES}, "mode": "linear", "shape": RANK4},
    ),
    "Resize, linear": (
        "Resize",
        10,
        {"constants": {"c": SCALES}, "mode": "linear", "shape": RANK4},
    ),
    "Resize, nearest": ("Resize", 10, {"constants": {"c": SCALES}, "shape": RANK4}),
    "Hardmax": ("Hardmax", 11, {"axis": 2}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("is_known", [True, False])
def test_each_operator_that_changed(case: str, is_known: bool, run: Runs) -> None:
    op, opset, settings = CASES[case]
    model = alone(op, opset, **settings)
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
    if not is_known:
        model.graph.input[0].type.tensor_type.ClearField("shape")
    if case == "Hardmax" and not is_known:
        pytest.skip("it is refused")
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    before = run(model, x=x)
    assert upgrade(model).startswith(f"opset {opset} is converted to 18 (1 of its nodes")
    assert {entry.version for entry in model.opset_import} == {18}
    assert worst(before, run(model, x=x)) < 1e-6


def test_what_did_not_change_stays_as_it_is(run: Runs) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", strides=[2])
    weight = np.ones((3, 4, 2), np.float32)
    model = graph_of([node], {"x": ["b", 4, "t"]}, ["y"], {"w": weight}, 13)
    before = onnx.ModelProto.FromString(model.SerializeToString())
    assert upgrade(model) == "opset 13 is converted to 18"
    assert model.graph == before.graph


def test_a_graph_of_18_or_later_is_left_alone() -> None:
    model = graph_of([helper.make_node("Relu", ["x"], ["y"])], {"x": ["n"]}, ["y"], opset=21)
    before = model.SerializeToString()
    assert upgrade(model) == ""
    assert model.SerializeToString() == before


def test_nodes_in_branches_and_names_are_kept(run: Runs) -> None:
    info = helper.make_tensor_value_info("s", TensorProto.FLOAT, None)
    inner = helper.make_node("ReduceSum", ["x"], ["s"], "inner", axes=[1])
    branches = {
        f"{which}_branch": helper.make_graph([inner], which, [], [info])
        for which in ("then", "else")
    }
    nodes = [
        helper.make_node("If", ["yes"], ["m"], "if", **branches),
        helper.make_node("Squeeze", ["m"], ["y"], "outer", axes=[1]),
    ]
    model = graph_of(nodes, {"x": [3, 4]}, ["y"], {"yes": np.array(True)}, 11)
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    before = run(model, x=x)
    assert "3 of its nodes are written anew" in upgrade(model)
    assert worst(before, run(model, x=x)) == 0
    assert [node.name for node in model.graph.node] == ["if", "outer"]
    assert model.graph.node[0].attribute[0].g.node[-1].name == "inner"


def test_weights_are_neither_read_nor_copied() -> None:
    weight = np.zeros((64, 64), np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], "product"),
        helper.make_node("Softmax", ["m"], ["y"], "softmax", axis=1),
    ]
    model = graph_of(nodes, {"x": ["n", 64]}, ["y"], {"w": weight}, 11)
    leave_in_file(model.graph.initializer[0], "/nowhere/weights", 0, 1 << 40)
    upgrade(model)
    assert model.graph.initializer[0].external_data[0].value == "/nowhere/weights"
    # Its rank is known through the product, so nothing stands around it.
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Softmax"]


def test_constants_among_the_inputs_of_old_graphs(run: Runs) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    weight = np.eye(4, dtype=np.float32)
    model = graph_of([node], {"x": ["n", 4], "w": [4, 4]}, ["y"], {"w": weight}, 7, ir_version=3)
    upgrade(model)
    assert [value.name for value in model.graph.input] == ["x"]
    assert run(model, x=weight)[0].tolist() == weight.tolist()
    assert model.ir_version == 8


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (alone("Hardmax", 11, axis=1), r"node node \(Hardmax\) cannot be .* several axes as one"),
        (
            alone("BatchNormalization", 7, constants=FOUR, spatial=0),
            "it normalises each position by itself",
        ),
        (
            alone("Resize", 10, constants={"c": SCALES / 3}, shape=RANK4),
            "it leaves out values in a way of its own",
        ),
        (alone("Relu", 6), "it has opset 6, and ONNX Runtime runs 7 or later: export it anew"),
    ],
)
def test_what_would_not_be_exact_is_refused(model: onnx.ModelProto, reason: str) -> None:
    before = model.SerializeToString()
    with pytest.raises(ModelError, match=reason):
        upgrade(model)
    assert model.SerializeToString() == before
