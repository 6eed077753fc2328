"""The lint says what ONNX Runtime really runs, and names the traps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.runtime.lint import LintRow, lint_model

CHANNELS = 32


def write(
    path: Path, nodes: list[onnx.NodeProto], constants: dict[str, Any], opset: int = 21
) -> Path:
    shape = ["batch", CHANNELS, "time"]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(model, path)
    return path


def qdq_convolution(
    path: Path, activation: type[Any], weight: type[Any], *, output_grid: bool = True
) -> Path:
    """Conv between quantize-dequantize pairs of the given integer types."""
    zero = np.iinfo(activation).max // 2 + 1 if np.iinfo(activation).min == 0 else 0
    constants = {
        "s": np.float32(0.03 if np.iinfo(activation).bits == 8 else 1e-4),
        "z": activation(zero),
        "w": np.random.default_rng(0).integers(1, 100, (CHANNELS, CHANNELS, 3)).astype(weight),
        "ws": np.float32(0.01),
        "wz": weight(0 if np.iinfo(weight).min else 50),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c" if output_grid else "y"], "the conv"),
    ]
    if output_grid:
        nodes += [
            helper.make_node("QuantizeLinear", ["c", "s", "z"], ["cq"]),
            helper.make_node("DequantizeLinear", ["cq", "s", "z"], ["y"]),
        ]
    return write(path, nodes, constants)


def dynamic_convolution(path: Path, weight: type[Any]) -> Path:
    constants = {
        "w": np.random.default_rng(0).integers(1, 100, (CHANNELS, CHANNELS, 3)).astype(weight),
        "wz": weight(0),
    }
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("ConvInteger", ["q", "w", "z", "wz"], ["i"], "the conv"),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "s"], ["y"]),
    ]
    return write(path, nodes, constants)


def only_row(path: Path) -> LintRow:
    (row,) = lint_model(path).rows
    assert row.name == "the conv"
    return row


def test_uint8_activations_with_int8_weights_are_fine(tmp_path: Path) -> None:
    row = only_row(qdq_convolution(tmp_path / "m.onnx", np.uint8, np.int8))
    assert row == LintRow("the conv", "int8", "QLinearConv", "int8")


def test_missing_output_grid_falls_back_to_float(tmp_path: Path) -> None:
    path = qdq_convolution(tmp_path / "m.onnx", np.uint8, np.int8, output_grid=False)
    row = only_row(path)
    assert row.status in ("fell back", "folded to float")
    assert row.kernel == "Conv"
    assert "stored as int8" in row.remark
    assert lint_model(path).summary() == "0 of 1 layers run in int8; 1 with a problem"


def test_weights_only_in_int8_are_folded_to_float(tmp_path: Path) -> None:
    constants = {"w": np.ones((CHANNELS, CHANNELS, 3), np.int8), "s": np.float32(0.01)}
    nodes = [
        helper.make_node("Cast", ["w"], ["wf"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wf", "s"], ["wd"]),
        helper.make_node("Conv", ["x", "wd"], ["y"], "the conv"),
    ]
    row = only_row(write(tmp_path / "m.onnx", nodes, constants))
    assert row.status == "folded to float"
    assert "smaller on disk only" in row.remark


def test_conv_integer_with_int8_weights_is_a_trap(tmp_path: Path) -> None:
    row = only_row(dynamic_convolution(tmp_path / "m.onnx", np.int8))
    assert (row.status, row.kernel) == ("slow kernel", "ConvInteger")
    assert "store them as uint8" in row.remark


def test_conv_integer_with_uint8_weights_is_none(tmp_path: Path) -> None:
    row = only_row(dynamic_convolution(tmp_path / "m.onnx", np.uint8))
    assert (row.status, row.remark) == ("int8", "")


def test_int8_activations_between_pairs_become_uint8_while_loading(tmp_path: Path) -> None:
    assert only_row(qdq_convolution(tmp_path / "m.onnx", np.int8, np.int8)).status == "int8"


def test_int8_activations_in_integer_operators_are_a_trap(tmp_path: Path) -> None:
    constants = {
        "s": np.float32(0.03),
        "z": np.int8(0),
        "w": np.ones((CHANNELS, CHANNELS, 3), np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node(
            "QLinearConv", ["xq", "s", "z", "w", "s", "z", "s", "z"], ["cq"], "the conv"
        ),
        helper.make_node("DequantizeLinear", ["cq", "s", "z"], ["y"]),
    ]
    row = only_row(write(tmp_path / "m.onnx", nodes, constants))
    assert row.status == "slow kernel"
    assert "use uint8 activations" in row.remark


def test_uint8_weights_of_static_convolutions_are_a_trap(tmp_path: Path) -> None:
    row = only_row(qdq_convolution(tmp_path / "m.onnx", np.uint8, np.uint8))
    assert row.status == "slow kernel"
    assert "store them as int8" in row.remark


def test_sixteen_bit_activations_never_run_in_int8(tmp_path: Path) -> None:
    row = only_row(qdq_convolution(tmp_path / "m.onnx", np.uint16, np.int8))
    assert row.status != "int8"
    assert row.remark


def test_float_layers_are_no_problem(tmp_path: Path) -> None:
    constants = {"w": np.ones((CHANNELS, CHANNELS, 3), np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "the conv"),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    path = write(tmp_path / "m.onnx", nodes, constants)
    assert only_row(path) == LintRow("the conv", "float32", "FusedConv", "float32")
    assert lint_model(path).problems == ()


def test_file_that_does_not_load_is_one_line(tmp_path: Path) -> None:
    nodes = [helper.make_node("NoSuchOperator", ["x"], ["y"], "?")]
    path = write(tmp_path / "m.onnx", nodes, {})
    with pytest.raises(ModelError, match="does not load in ONNX Runtime") as caught:
        lint_model(path)
    assert "\n" not in str(caught.value)


def planned(path: Path, compute: str) -> Path:
    """The same file with a plan for its only layer."""
    model = onnx.load(path)
    row = {
        "name": "the conv",
        "op": "Conv",
        "shape": [CHANNELS, CHANNELS, 3],
        "codec": "int8",
        "bits": 8,
        "compute": compute,
        "activation_bits": 8,
        "range": "none",
        "bytes": 0,
    }
    plan = {"schema": "quantkit.plan/1", "model_sha256": "", "method": "manual", "layers": [row]}
    set_info(model, ArtifactInfo(plan=plan))
    save_model(model, path)
    return path


def packed_convolution(path: Path) -> Path:
    """Four-bit codes that a look-up turns into the weight, which a float kernel reads."""
    codes = np.random.default_rng(0).integers(0, 256, (CHANNELS, CHANNELS, 3, 1))
    constants = {
        "codes": codes.astype(np.uint8),
        "table": (np.arange(512) % 100).astype(np.int8).reshape(256, 2),
        "shape": np.array([CHANNELS, CHANNELS, 6]),
        "s": np.float32(0.01),
    }
    nodes = [
        helper.make_node("Cast", ["codes"], ["indices"], to=TensorProto.INT32),
        helper.make_node("Gather", ["table", "indices"], ["pairs"]),
        helper.make_node("Reshape", ["pairs", "shape"], ["levels"]),
        helper.make_node("Cast", ["levels"], ["steps"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["steps", "s"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"], "the conv"),
    ]
    return write(path, nodes, constants)


def test_weight_that_the_plan_wants_as_float_is_no_problem(tmp_path: Path) -> None:
    path = packed_convolution(tmp_path / "m.onnx")
    assert only_row(path).status == "folded to float"
    row = only_row(planned(path, "float32"))
    assert (row.stored, row.kernel, row.status, row.remark) == ("int8", "Conv", "float32", "")
    assert row.folded


def test_float_kernel_that_the_plan_does_not_want_is_one(tmp_path: Path) -> None:
    path = planned(packed_convolution(tmp_path / "m.onnx"), "static")
    assert only_row(path).status == "folded to float"


def test_decoder_that_is_left_in_the_graph_is_named(tmp_path: Path) -> None:
    """ONNX Runtime does not fold ``RandomUniformLike``, whatever its input."""
    constants = {"w": np.ones((CHANNELS, CHANNELS, 3), np.float32)}
    nodes = [
        helper.make_node("RandomUniformLike", ["w"], ["r"]),
        helper.make_node("Conv", ["x", "r"], ["y"], "the conv"),
    ]
    path = write(tmp_path / "m.onnx", nodes, constants)
    row = only_row(path)
    assert not row.folded
    assert row.remark == "its weight is rebuilt in every run, not once while loading"
    assert not lint_model(path).folded


def test_rows_looked_up_as_integers_count_as_int8(tmp_path: Path) -> None:
    constants = {
        "table": np.ones((50, 16), np.int8),
        "scale": np.float32(0.1),
    }
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["top"]),
        helper.make_node("Cast", ["top"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["rows"], "the conv"),
        helper.make_node("Cast", ["rows"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["y"]),
    ]
    row = only_row(write(tmp_path / "m.onnx", nodes, constants))
    assert row == LintRow("the conv", "int8", "Gather", "int8")
