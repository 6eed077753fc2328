"""``quantkit verify`` and ``inspect`` on a single artifact, from a shell's point of view."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.integrity import stored_checksum
from quantkit.text.labels import Labels
from tests.cli.shell import run


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["b", "frames", 40])
    log_probs = helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["b", "frames", 3])
    weight = np.random.default_rng(0).standard_normal((40, 3), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "weight"], ["scores"], name="layer1"),
            helper.make_node("LogSoftmax", ["scores"], ["log_probs"]),
            helper.make_node("Identity", ["lengths"], ["output_lengths"]),
        ],
        "one layer",
        [features, helper.make_tensor_value_info("lengths", TensorProto.INT64, ["b"])],
        [log_probs, helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["b"])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    set_info(model, ArtifactInfo(Labels(("_", "a", "b")), Frontend(), task="ctc"))
    save_model(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def damaged(artifact: Path) -> Path:
    content = bytearray(artifact.read_bytes())
    content[len(content) // 3] ^= 1
    artifact.write_bytes(content)
    return artifact


def test_a_sound_artifact(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", artifact) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{artifact}: checksum holds; the model runs in ONNX Runtime ")
    assert captured.out.count("\n") == 1
    assert run("verify", artifact, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["schema"], result["ok"]) == ("quantkit.verify/1", True)
    assert result["checksum"] == stored_checksum(artifact)
    assert result["findings"] == []


def test_a_damaged_artifact_fails_the_check(
    damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", damaged) == 1
    error = capsys.readouterr().err
    assert f"{damaged} is damaged" in error
    assert error.count("\n") == 1
    assert run("verify", damaged, "--json") == 1
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert result["checksum"] == ""
    assert "is damaged" in result["findings"][0]["detail"]


def test_a_file_without_a_checksum_is_bad_input(
    artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(artifact)
    del model.metadata_props[:]
    onnx.save(model, artifact)
    assert run("verify", artifact) == 2
    assert "quantkit did not write it" in capsys.readouterr().err


def test_nothing_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", tmp_path / "nowhere.onnx") == 2
    assert "nowhere.onnx" in capsys.readouterr().err


def test_a_manifest_is_of_a_bundle(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", artifact, "--manifest-sha256", "00") == 2
    assert "is for bundles" in capsys.readouterr().err


def test_inspect_says_that_the_checksum_holds(
    artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", artifact) == 0
    assert "; checksum holds\n" in capsys.readouterr().out
    assert run("inspect", artifact, "--json") == 0
    assert json.loads(capsys.readouterr().out)["checksum"] == stored_checksum(artifact)


def test_inspect_says_when_there_is_none(
    artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(artifact)
    del model.metadata_props[:]
    onnx.save(model, artifact)
    assert run("inspect", artifact) == 0
    assert "no checksum" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["inspect", "transcribe", "ship"])
def test_a_damaged_artifact_is_bad_input_to_who_uses_it(
    damaged: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    further = {"inspect": [], "transcribe": ["clip.wav"], "ship": ["-o", tmp_path / "bundle"]}
    assert run(command, damaged, *further[command]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"quantkit: {damaged} is damaged: its content does not match its checksum, or another "
        "tool changed it; fetch or make it again\n"
    )
    assert not (tmp_path / "bundle").exists()
