"""Raising the operator set changes the number and nothing else, or is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import InputError, ModelError
from quantkit.graph.opset import raise_opset
from quantkit.runtime.optimised import optimised_graph
from quantkit.runtime.session import create_session

RUNTIME = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
VERSIONS = [
    21,
    pytest.param(
        25, marks=pytest.mark.skipif(RUNTIME < (1, 24), reason="ONNX Runtime knows no opset 25")
    ),
]
INPUT = np.random.default_rng(0).standard_normal((2, 6, 16)).astype(np.float32)


def model_of(
    nodes: Sequence[onnx.NodeProto], opset: int = 18, **constants: np.ndarray[Any, Any]
) -> onnx.ModelProto:
    """(2, 6, 16) float ``x`` → whatever float ``y`` the nodes make of it."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6, "frames"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def random(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def integers(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(2).integers(-127, 128, shape).astype(np.int8)


def vector(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def branch(op: str) -> onnx.GraphProto:
    value = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)
    return helper.make_graph([node(op, "x", "chosen")], op, [], [value])


ONE = np.float32(1.0)
GRAPHS: dict[str, onnx.ModelProto] = {
    "float convolution": model_of(
        [
            node("Conv", "x w b", "c", pads=[1, 2], strides=[2]),
            node("Relu", "c", "r"),
            node("Transpose", "r", "t", perm=[0, 2, 1]),
            node("LogSoftmax", "t"),
        ],
        w=random(5, 6, 3),
        b=random(5),
    ),
    "static convolution": model_of(
        [
            node("QuantizeLinear", "x s z", "q"),
            node("DequantizeLinear", "q s z", "d"),
            node("DequantizeLinear", "w ws wz", "dw", axis=0),
            node("DequantizeLinear", "b bs", "db"),
            node("Conv", "d dw db", "c"),
            node("QuantizeLinear", "c s z", "cq"),
            node("DequantizeLinear", "cq s z"),
        ],
        s=np.float32(0.125),
        z=np.uint8(128),
        w=integers(5, 6, 3),
        ws=np.full(5, 0.0625, np.float32),
        wz=np.zeros(5, np.int8),
        b=np.arange(5, dtype=np.int32),
        bs=np.float32(0.0078125),
    ),
    "dynamic product": model_of(
        [
            node("DynamicQuantizeLinear", "x", "q s z"),
            node("MatMulInteger", "q w z wz", "p"),
            node("Cast", "p", "f", to=TensorProto.FLOAT),
            node("Mul", "s ws", "ss"),
            node("Mul", "f ss"),
        ],
        w=integers(16, 9),
        wz=np.zeros(9, np.int8),
        ws=np.abs(random(9)) + ONE,
    ),
    "range per clip": model_of(
        [
            node("Abs", "x", "a"),
            node("ReduceMax", "a axes", "m", keepdims=1),
            node("Div", "m top", "s"),
            node("Div", "x s", "scaled"),
            node("Round", "scaled", "rounded"),
            node("Clip", "rounded bottom top"),
        ],
        axes=vector(1, 2),
        top=np.float32(127.0),
        bottom=np.float32(-127.0),
    ),
    "frames masked and padded": model_of(
        [
            node("Shape", "x", "shape"),
            node("Gather", "shape last", "frames", axis=0),
            node("Range", "zero frames one", "positions"),
            node("Less", "positions limit", "inside"),
            node("Where", "inside x nothing", "kept"),
            node("Pad", "kept pads fill", "padded"),
            node("Gather", "padded taps", "gathered", axis=2),
            node("Reshape", "gathered flat"),
        ],
        last=np.array(2, np.int64),
        zero=np.array(0, np.int64),
        one=np.array(1, np.int64),
        limit=vector(11),
        nothing=np.float32(0.0),
        pads=vector(0, 0, 1, 0, 0, 2),
        fill=np.float32(0.5),
        taps=np.arange(6, dtype=np.int64).reshape(3, 2) * 3,
        flat=vector(0, -1),
    ),
    "transformer": model_of(
        [
            node("LayerNormalization", "x g b", "n", axis=-1),
            node("MatMul", "n w", "m"),
            node("Div", "m root", "scaled"),
            node("Erf", "scaled", "e"),
            node("Add", "e one", "shifted"),
            node("Mul", "m shifted", "product"),
            node("Mul", "product half", "gelu"),
            node("Add", "gelu x", "sum"),
            node("Softmax", "sum", "y", axis=-1),
        ],
        g=random(16),
        b=random(16),
        w=random(16, 16),
        root=np.sqrt(np.float32(2.0)),
        one=ONE,
        half=np.float32(0.5),
    ),
    "decoder": model_of(
        [
            node("Cast", "plane", "index", to=TensorProto.INT32),
            node("Gather", "table index", "low", axis=0),
            node("BitwiseOr", "low high", "levels"),
            node("Slice", "levels start stop", "cut"),
            node("Reshape", "cut shape", "w"),
            node("Unsqueeze", "w axis", "u"),
            node("Squeeze", "u axis", "v"),
            node("Cast", "v", "f", to=TensorProto.FLOAT),
            node("Mul", "f scale", "d"),
            node("MatMul", "x d"),
        ],
        plane=np.arange(0, 240, 3, dtype=np.uint8),
        table=np.arange(256, dtype=np.int64).astype(np.int8),
        high=np.where(np.arange(80) % 2, -128, 0).astype(np.int8),
        start=vector(0),
        stop=vector(64),
        shape=vector(16, 4),
        axis=vector(0),
        scale=np.abs(random(4)),
    ),
    "pooling without rounding": model_of(
        [
            node("AveragePool", "x", "a", kernel_shape=[3], strides=[2], pads=[1, 1]),
            node("MaxPool", "x", "m", kernel_shape=[3], strides=[2], pads=[1, 1]),
            node("Add", "a m", "s"),
            node("GlobalAveragePool", "s", "g"),
            node("Flatten", "g", "y"),
        ]
    ),
    "subgraph": model_of(
        [
            node("ReduceMax", "x none", "m", keepdims=0),
            node("Greater", "m zero", "c"),
            node("If", "c", "y", then_branch=branch("Identity"), else_branch=branch("Softplus")),
        ],
        none=vector(0, 1, 2),
        zero=np.float32(0.0),
    ),
    "activations": model_of(
        [
            node("Sigmoid", "x", "s"),
            node("Tanh", "s", "t"),
            node("Elu", "t", "e"),
            node("HardSigmoid", "e", "h"),
            node("Softplus", "h", "p"),
            node("Sin", "p", "sine"),
            node("Cos", "p", "cosine"),
            node("Concat", "sine cosine", "both", axis=1),
            node("InstanceNormalization", "both g b", "n"),
            node("Equal", "n n", "same"),
            node("Not", "same", "other"),
            node("Cast", "other", "f", to=TensorProto.FLOAT),
            node("Sub", "n f"),
        ],
        g=random(12),
        b=random(12),
    ),
}


def outcome(model: onnx.ModelProto, folder: Path) -> tuple[np.ndarray[Any, Any], Counter[str]]:
    """What ONNX Runtime computes, and the operators that it computes it with."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    (result,) = create_session(path).run(None, {"x": INPUT})
    return result, Counter(node.op_type for node in optimised_graph(path).node)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", GRAPHS)
def test_outputs_are_bit_identical_and_fusions_the_same(
    name: str, version: int, tmp_path: Path
) -> None:
    model = onnx.ModelProto.FromString(GRAPHS[name].SerializeToString())
    before, operators = outcome(model, tmp_path)
    raise_opset(model, version)
    assert model.opset_import[0].version == version
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    after, operators_after = outcome(model, tmp_path)
    np.testing.assert_array_equal(after, before, strict=True)
    assert operators_after == operators


@pytest.mark.parametrize(("version", "ir_version"), [(18, 8), (19, 9), (21, 10), (25, 13)])
def test_the_ir_version_is_raised_as_far_as_needed(version: int, ir_version: int) -> None:
    model = model_of([node("Relu", "x")])
    raise_opset(model, version)
    assert (model.opset_import[0].version, model.ir_version) == (version, ir_version)


def test_a_newer_ir_version_is_kept() -> None:
    model = model_of([node("Relu", "x")])
    model.ir_version = 12
    raise_opset(model, 21)
    assert model.ir_version == 12


def test_nothing_is_lowered() -> None:
    model = model_of(
        [helper.make_node("Resize", ["x", "", "scales"], ["y"])], 22, scales=np.ones(3, np.float32)
    )
    before = model.SerializeToString()
    raise_opset(model, 21)
    assert model.SerializeToString() == before


def test_other_domains_keep_their_version() -> None:
    model = model_of([node("Gelu", "x", domain="com.microsoft")])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    raise_opset(model, 21)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 21), ("com.microsoft", 1)]


def test_functions_are_raised_with_the_model() -> None:
    model = model_of([node("Double", "x", domain="local")])
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.functions.append(
        helper.make_function(
            "local",
            "Double",
            ["a"],
            ["b"],
            [node("Add", "a a", "b")],
            [helper.make_opsetid("", 18)],
        )
    )
    raise_opset(model, 21)
    assert [entry.version for entry in model.functions[0].opset_import] == [21]


CHANGED = {
    "GroupNormalization": node("GroupNormalization", "x g g", num_groups=2),
    "Resize": helper.make_node("Resize", ["x", "", "g"], ["y"]),
    "DFT": node("DFT", "x"),
    "GridSample": node("GridSample", "x g"),
    "AveragePool": node("AveragePool", "x", kernel_shape=[3], ceil_mode=1),
    "RandomNormal": node("RandomNormal", "", shape=[2]),
    "MaxPool": node("MaxPool", "x", kernel_shape=[3], ceil_mode=1),
}


@pytest.mark.parametrize("name", CHANGED)
def test_an_operator_that_would_change_is_named_and_the_model_left_alone(name: str) -> None:
    model = model_of([CHANGED[name]])
    before = model.SerializeToString()
    with pytest.raises(ModelError, match=rf"cannot raise opset 18 to 25: {name} \(y\)"):
        raise_opset(model, 25)
    assert model.SerializeToString() == before


def test_an_operator_that_changes_later_does_not_stand_in_the_way() -> None:
    for name in ("MaxPool", "RandomNormal"):
        model = model_of([CHANGED[name]])
        raise_opset(model, 21)
        assert [entry.version for entry in model.opset_import] == [21]
        assert list(model.graph.node) == [CHANGED[name]]


def test_an_operator_inside_a_subgraph_is_found() -> None:
    inner = helper.make_graph([CHANGED["GroupNormalization"]], "inner", [], [])
    model = model_of([node("If", "c", then_branch=inner, else_branch=inner)])
    with pytest.raises(ModelError, match="GroupNormalization"):
        raise_opset(model, 21)


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(ModelError, match=r"NoSuchOperator \(y\) is no standard operator"):
        raise_opset(model_of([node("NoSuchOperator", "x")]), 21)


def test_a_model_older_than_what_was_reviewed_is_refused() -> None:
    with pytest.raises(ModelError, match=r"opset 17.*export it again with opset 18"):
        raise_opset(model_of([node("Relu", "x")], 17), 21)


@pytest.mark.parametrize("version", [17, 26])
def test_versions_that_were_not_reviewed_are_refused(version: int) -> None:
    with pytest.raises(InputError, match=f"opset {version}: choose 18 to 25"):
        raise_opset(model_of([node("Relu", "x")]), version)
