"""A run that quantizes nothing says so first, and does not end with 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
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
        f"quantkit: nothing is quantized: the only layer of {source} stays float32; narrow: the "
        "float kernel is faster: too few inputs per output value"
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


def test_all_presets_are_asked_before_any_is_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 16_000)
    folder = tmp_path / "all"
    code = run("quantize", source, "--preset", "all", "--audio", tmp_path / "a.wav", "-o", folder)
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"quantkit: nothing is quantized: the only layer of {source} stays")
    assert not folder.exists()


@pytest.fixture
def adopted(tmp_path: Path) -> Path:
    """A recogniser whose only layer has a weight that is no tensor, and whose head is no layer."""
    random = np.random.default_rng(0)
    constants = {
        "axis": np.array([1]),
        "w": random.standard_normal((16, 1, 40)).astype(np.float32),
        "head": random.standard_normal((16, 29)).astype(np.float32),
    }
    make, info = helper.make_node, helper.make_tensor_value_info
    nodes = [
        make("Unsqueeze", ["audio", "axis"], ["x"], "unsqueeze"),
        make("Tanh", ["w"], ["bent"], "bend"),
        make("Conv", ["x", "bent"], ["c"], "bent_conv", strides=[160]),
        make("Einsum", ["c", "head"], ["logits"], "einsum", equation="bct,cl->btl"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [info("audio", TensorProto.FLOAT, ["b", "n"])],
        [info("logits", TensorProto.FLOAT, ["b", "f", 29])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "theirs.onnx")
    letters = ["<blank>", "|", "'", *"abcdefghijklmnopqrstuvwxyz"]
    (tmp_path / "labels.txt").write_text("\n".join(letters) + "\n")
    arguments = ["--task", "ctc", "--labels", tmp_path / "labels.txt", "-o", tmp_path / "o.onnx"]
    assert run("export", tmp_path / "theirs.onnx", *arguments) == 0
    return tmp_path / "o.onnx"


def test_personalize_says_so_before_it_listens(
    adopted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000)
    soundfile.write(tmp_path / "a.wav", clip, 16_000)
    capsys.readouterr()
    arguments = ["--audio", tmp_path / "a.wav", "--budget", "1MB", "-o", tmp_path / "u.onnx"]
    assert run("personalize", adopted, *arguments) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line == (
        f"quantkit: nothing is quantized: the only layer of {adopted} stays float32; bent_conv: "
        "its weight is not a constant tensor; operators that cannot be quantized hold weights: "
        "Einsum (464)"
    )
    assert not (tmp_path / "u.onnx").exists()
