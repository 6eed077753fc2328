"""The study of old and new runtimes, with the one that is installed."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

FEEDS = {"x": np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)}


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2])
    return importlib.import_module("benchmarks.compatibility")


@pytest.fixture
def installed(study: ModuleType) -> Any:
    """The runtime of this Python."""
    probe = Path(study.__file__).with_name("compatibility_probe.py")
    return study.Runtime(onnxruntime.__version__, (sys.executable, str(probe)))


def packed_model(path: Path, opset: int = 18) -> Path:
    """A product by bytes that the graph unpacks itself."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["stored"], ["w"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        "packed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])],
        [numpy_helper.from_array(np.arange(32, dtype=np.int8).reshape(8, 4), "stored")],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def test_a_file_that_loads_gives_its_outputs_and_is_folded(
    study: ModuleType, installed: Any, tmp_path: Path
) -> None:
    outcome = study.probe(installed, packed_model(tmp_path / "packed.onnx"), FEEDS)
    assert outcome.error is None
    expected = FEEDS["x"] @ np.arange(32, dtype=np.float32).reshape(8, 4)
    np.testing.assert_allclose(outcome.outputs["y"], expected, rtol=1e-5)
    assert outcome.outputs["y"].dtype == np.float32
    assert outcome.unfolded == Counter()
    assert outcome.against(outcome) == "✓"


def test_a_file_that_is_too_new_gives_the_reason(
    study: ModuleType, installed: Any, tmp_path: Path
) -> None:
    outcome = study.probe(installed, packed_model(tmp_path / "packed.onnx", opset=99), FEEDS)
    assert outcome.against(outcome) == "no: opset 99"


def test_a_runtime_that_crashes_is_told_from_one_that_refuses(
    study: ModuleType, tmp_path: Path
) -> None:
    crashing = study.Runtime("crashing", (sys.executable, "-c", "raise SystemExit('error: gone')"))
    outcome = study.probe(crashing, packed_model(tmp_path / "packed.onnx"), FEEDS)
    assert outcome.error == "ended with 1: error: gone"


def test_nodes_on_constants_alone_are_counted(study: ModuleType, tmp_path: Path) -> None:
    found = study.unfolded(packed_model(tmp_path / "packed.onnx"))
    assert found == {"Cast": 1}
    newest = study.Outcome(None)
    assert study.Outcome(None, {}, found).against(newest) == "not folded: 1 Cast"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("a.cc:149 Unsupported model IR version: 13, max supported IR version: 9", "no: IR 13"),
        ("Opset 25 is under development and support is limited", "no: opset 25"),
        ("Could not find an implementation for Cast(21) node with name ''", "no: lacks Cast(21)"),
        ("com.microsoft:MatMulNBits(-1) is not a registered function/op", "no: lacks MatMulNBits"),
        ("something | else", "no: something / else"),
    ],
)
def test_refusals_are_told_in_few_words(study: ModuleType, error: str, words: str) -> None:
    assert study.reason(error) == words


def test_outputs_are_the_same_only_bit_by_bit(study: ModuleType) -> None:
    one = {"y": np.float32([1.0, 0.0])}
    assert study.largest_difference(one, one) == 0.0
    assert study.largest_difference({"y": np.float32([1.5, 0.0])}, one) == 0.5
    assert study.largest_difference({"y": np.float32([1.0, -0.0])}, one) > 0.0
    assert study.largest_difference({"y": np.float64([1.0, 0.0])}, one) == float("inf")
    assert study.largest_difference({"y": np.float32([np.nan, 0.0])}, one) == float("inf")


def test_a_wrong_table_of_releases_is_found(study: ModuleType) -> None:
    fine, refused = study.Outcome(None), study.Outcome("Opset 21 is under development")
    row = study.Row("file", 1, "1.18", {"1.17.3": refused, "1.20.1": fine, "node 1.30.0": refused})
    assert row.broken_promises() == []
    row = study.Row("file", 1, "1.18", {"1.17.3": fine, "1.20.1": refused})
    assert row.broken_promises() == [
        "file loads in 1.17.3 and was thought not to",
        "file should load in 1.20.1: no: opset 21",
    ]
    assert len(study.Row("file", 1, None, {"1.31.1": fine}).broken_promises()) == 1


def test_the_study_leaves_out_what_cannot_be_installed(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(version: str, environments: Path) -> None:
        raise study.LeftOut("no wheel")

    monkeypatch.setattr(study, "python_runtime", refuse)
    monkeypatch.setattr("shutil.which", lambda name: None)
    packed_model(tmp_path / "packed.onnx")
    np.savez(tmp_path / "feeds.npz", **FEEDS)
    arguments = ["--files", tmp_path, "--feeds", tmp_path / "feeds.npz", "--dry-run"]
    result = CliRunner().invoke(study.main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "| packed | 0.00 | 1.15 | ✓ |" in result.output
    assert "Left out: ONNX Runtime 1.17.3 (no wheel)." in result.output
    assert "Left out: onnxruntime-node (Node.js with npm is not installed)." in result.output
