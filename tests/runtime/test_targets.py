"""What old and new ONNX Runtimes load, checked against the one that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import InputError, ModelError
from quantkit.runtime.session import create_session
from quantkit.runtime.targets import TARGETS, Target, oldest_for, target

INSTALLED = target(onnxruntime.__version__)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    opset: int = 18,
    ir_version: int = 8,
    initializers: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """(4, 8) float ``x`` → float ``y``."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initializers,
    )
    domains = {node.domain for node in nodes} - {""}
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def node(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def narrow(data_type: int, bits: int) -> onnx.TensorProto:
    """Eight zeros of a type that NumPy lacks."""
    return TensorProto(name="w", data_type=data_type, dims=[8], raw_data=bytes(bits))


def added(op: str, **attributes: Any) -> list[onnx.NodeProto]:
    """``x`` plus what ``op`` makes of the initializer ``w``, in float."""
    return [
        node(op, "w", "u", **attributes),
        node("Cast", "u", "f", to=TensorProto.FLOAT),
        node("Add", "x f"),
    ]


def array(name: str, values: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values), name)


def int8_pair(op: str) -> onnx.ModelProto:
    bytes_ = np.arange(8, dtype=np.int8)
    return model_of(
        [node(op, "a b", "u"), *added("Identity")[1:]],
        initializers=[array("a", bytes_), array("b", bytes_)],
    )


def convolution_on_integers(weight: type) -> onnx.ModelProto:
    return model_of(
        [
            node("Unsqueeze", "x axis", "row"),
            node("DynamicQuantizeLinear", "row", "q s z"),
            node("ConvInteger", "q w z", "p"),
            node("Cast", "p", "y", to=TensorProto.FLOAT),
        ],
        initializers=[array("axis", [0]), array("w", np.ones((2, 4, 3), weight))],
    )


def narrow_product(bits: int) -> onnx.ModelProto:
    multiply = node(
        "MatMulNBits", "x w s", domain="com.microsoft", K=8, N=4, bits=bits, block_size=16
    )
    stored = np.zeros((4, 1, 2 * bits), np.uint8)
    return model_of([multiply], initializers=[array("w", stored), array("s", np.ones(4, "f"))])


CASES: dict[str, tuple[onnx.ModelProto, str | None]] = {
    "a float model": (model_of([node("Relu", "x")]), "1.15"),
    "opset 19": (model_of([node("Relu", "x")], 19, 9), "1.15"),
    "opset 20": (model_of([node("Relu", "x")], 20, 9), "1.17"),
    "opset 21": (model_of([node("Relu", "x")], 21, 10), "1.18"),
    "opset 22": (model_of([node("Relu", "x")], 22, 10), "1.21"),
    "opset 23": (model_of([node("Relu", "x")], 23, 11), "1.23"),
    "opset 24": (model_of([node("Relu", "x")], 24, 12), "1.24"),
    "opset 25": (model_of([node("Relu", "x")], 25, 13), "1.24"),
    "opset 26": (model_of([node("Relu", "x")], 26, 13), "1.25"),
    "opset 27": (model_of([node("Relu", "x")], 27, 13), "1.32"),
    "opset 28": (model_of([node("Relu", "x")], 28, 14), "1.32"),
    "opset 29": (model_of([node("Relu", "x")], 29, 14), None),
    "IR 10 with an old opset": (model_of([node("Relu", "x")], 18, 10), "1.18"),
    "IR 13 with an old opset": (model_of([node("Relu", "x")], 18, 13), "1.24"),
    "IR 14 with an old opset": (model_of([node("Relu", "x")], 18, 14), "1.32"),
    "IR 15": (model_of([node("Relu", "x")], 18, 15), None),
    "a decoder on bytes": (
        model_of(
            [
                node("Cast", "p", "i", to=TensorProto.INT32),
                node("Gather", "t i", "g"),
                node("BitwiseOr", "g t", "u"),
                *added("Identity")[1:],
            ],
            initializers=[
                array("p", np.arange(8, dtype=np.uint8)),
                array("t", np.arange(8, dtype=np.int8)),
            ],
        ),
        "1.15",
    ),
    "4-bit integers": (
        model_of(added("Cast", to=TensorProto.INT8), 21, 10, [narrow(TensorProto.INT4, 4)]),
        "1.23",
    ),
    "unsigned 4-bit integers": (
        model_of(added("Cast", to=TensorProto.INT8), 21, 10, [narrow(TensorProto.UINT4, 4)]),
        "1.23",
    ),
    "2-bit integers": (
        model_of(added("Cast", to=TensorProto.INT8), 25, 13, [narrow(TensorProto.INT2, 2)]),
        "1.24",
    ),
    "4-bit integers that DequantizeLinear reads": (
        model_of(
            [node("DequantizeLinear", "w s", "f"), node("Add", "x f")],
            21,
            10,
            [narrow(TensorProto.INT4, 4), array("s", np.float32(1.0))],
        ),
        "1.19",
    ),
    "4-bit integers where there is no kernel for them": (
        model_of(added("Flatten"), 21, 10, [narrow(TensorProto.INT4, 4)]),
        None,
    ),
    "sums of bytes": (int8_pair("Add"), "1.21"),
    "shifts of 16-bit integers": (
        model_of(
            [node("BitShift", "a b", "u", direction="LEFT"), *added("Identity")[1:]],
            initializers=[array(name, np.ones(8, np.uint16)) for name in "ab"],
        ),
        "1.32",
    ),
    "an unsigned convolution": (convolution_on_integers(np.uint8), "1.15"),
    "a signed convolution": (convolution_on_integers(np.int8), "1.24"),
    "MatMulNBits, 4 bits": (narrow_product(4), "1.16"),
    "MatMulNBits, 8 bits": (narrow_product(8), "1.22"),
    "MatMulNBits, 2 bits": (narrow_product(2), "1.24"),
    "MatMulNBits, 3 bits": (narrow_product(3), None),
    "a fused operator": (model_of([node("FastGelu", "x", domain="com.microsoft")]), "1.15"),
    "a foreign operator": (model_of([node("Relu", "x", domain="org.example")]), None),
    "no operator at all": (model_of([node("NoSuchOperator", "x")]), None),
    "an operator without kernel": (
        model_of([node("RandomNormalLike", "x")], 22, 10),
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_oldest_release_for_a_model(name: str) -> None:
    model, expected = CASES[name]
    found = oldest_for(model)
    assert (found.version if found else None) == expected


@pytest.mark.parametrize("name", CASES)
def test_the_installed_runtime_loads_what_the_table_says(name: str, tmp_path: Path) -> None:
    model, _ = CASES[name]
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    oldest = oldest_for(model)
    if oldest is None or TARGETS.index(oldest) > TARGETS.index(INSTALLED):
        with pytest.raises(ModelError):
            create_session(path)
    else:
        create_session(path).run(None, {"x": np.ones((4, 8), np.float32)})


def test_operators_inside_subgraphs_count() -> None:
    inner = helper.make_graph(
        int8_pair("Add").graph.node[:1],
        "inner",
        [],
        [helper.make_tensor_value_info("u", TensorProto.INT8, None)],
        [array("a", np.ones(8, np.int8)), array("b", np.ones(8, np.int8))],
    )
    model = model_of(
        [
            node("If", "c", "w", then_branch=inner, else_branch=inner),
            node("Cast", "w", "y", to=TensorProto.FLOAT),
        ],
        initializers=[array("c", True)],
    )
    assert oldest_for(model) == target("1.21")


def test_operators_inside_functions_count() -> None:
    model = model_of([node("Noise", "x", domain="local")], 22, 10)
    body = [node("RandomNormalLike", "a", "b")]
    opsets = [helper.make_opsetid("", 22)]
    model.functions.append(helper.make_function("local", "Noise", ["a"], ["b"], body, opsets))
    assert oldest_for(model) is None
    model.functions[0].node[0].op_type = "Relu"
    assert oldest_for(model) == target("1.21")


@pytest.mark.parametrize("version", ["1.17", "1.17.0", "1.17.3"])
def test_a_release_is_found_whatever_its_patch_number(version: str) -> None:
    assert target(version) == Target("1.17", 20, 9, matmul_bits=(4,))


def test_the_newest_release_is_the_last_of_the_table() -> None:
    assert target("newest") is TARGETS[-1]
    assert target(TARGETS[-1].version) is TARGETS[-1]


@pytest.mark.parametrize("version", ["1.14.1", "1.9", "0.5"])
def test_a_release_that_is_too_old_is_refused(version: str) -> None:
    with pytest.raises(InputError, match=r"is too old; the oldest that is supported is 1\.15"):
        target(version)


@pytest.mark.parametrize("version", ["1.33", "2.0.1"])
def test_a_release_that_is_not_known_yet_is_refused(version: str) -> None:
    with pytest.raises(InputError, match=rf"{version} is not known; the newest"):
        target(version)


@pytest.mark.parametrize("version", ["", "latest", "1", "1.x", "1.17.3.4", " 1.17", "1.17\n"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(InputError, match="is no version of ONNX Runtime"):
        target(version)


def test_releases_only_ever_gain() -> None:
    for older, newer in pairwise(TARGETS):
        assert newer.opset >= older.opset
        assert newer.ir_version >= older.ir_version
        assert set(newer.cast_bits) >= set(older.cast_bits)
        assert set(newer.matmul_bits) >= set(older.matmul_bits)
