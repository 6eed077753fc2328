"""A run that quantizes nothing says so first, and does not end with 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.cli.shell import run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One convolution of a single channel, for which the float kernel is faster."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "narrow")],
        "g",
        [info("x", TensorProto.FLOAT, [1, 1, 20])],
        [info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((1, 1, 3), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "float32.onnx")
    return tmp_path / "float32.onnx"


def test_all_layers_stay_float32(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("quantize", source, "--preset", "int8", "-o", tmp_path / "q.onnx")
    assert code == 1
    assert capsys.readouterr().err.splitlines() == [
        f"quantkit: nothing is quantized: all 1 layers of {source} stay float32; narrow: the float "
        "kernel is faster: too few inputs per output value"
    ]
    assert not (tmp_path / "q.onnx").exists()


def test_what_was_left_out_by_hand_is_no_failure(source: Path, tmp_path: Path) -> None:
    code = run(
        "quantize", source, "--preset", "int8", "--exclude", "narrow", "-o", tmp_path / "q.onnx"
    )
    assert code == 0
    assert (tmp_path / "q.onnx").exists()


def test_no_layer_at_all(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(source)
    model.graph.node[0].domain = "com.someone"
    model.opset_import.append(helper.make_opsetid("com.someone", 1))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((16, 32), "f"), "w"))
    onnx.save(model, source)
    code = run("plan", source, "--method", "uniform", "--budget", "1MB", "-o", tmp_path / "p.json")
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"quantkit: nothing is quantized: {source} has no layer, ")
    assert line.endswith("hold weights: com.someone:Conv (512)")
