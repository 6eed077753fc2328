"""``quantkit ship`` and ``quantkit verify`` from a shell's point of view."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from onnx import TensorProto, helper

from quantkit.audio.frontend import Frontend
from quantkit.disk.files import sha256_of
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.text.labels import Labels
from tests.bundles.test_signing import write_keys
from tests.cli.shell import run


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """Features are their own scores: forty labels."""
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["b", "frames", 40])
    log_probs = helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["b", "frames", 40])
    graph = helper.make_graph(
        [
            helper.make_node("LogSoftmax", ["features"], ["log_probs"], axis=-1),
            helper.make_node("Identity", ["lengths"], ["output_lengths"]),
        ],
        "identity",
        [features, helper.make_tensor_value_info("lengths", TensorProto.INT64, ["b"])],
        [log_probs, helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["b"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    labels = Labels(tuple(chr(ord("0") + i) for i in range(40)))
    set_info(model, ArtifactInfo(labels, Frontend(), task="ctc", name="forty"))
    save_model(model, tmp_path / "float32.onnx")
    (tmp_path / "LICENCE").write_text("free\n")
    return tmp_path / "float32.onnx"


def test_ship_then_verify(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "out" / "bundle"
    assert run("ship", artifact, "-o", bundle) == 0
    shipped = capsys.readouterr().out
    digest = sha256_of(bundle / "manifest.json")
    assert "forty float32, runs in ONNX Runtime" in shipped
    assert digest in shipped
    assert run("verify", bundle, "--manifest-sha256", digest) == 0
    assert "18 files as shipped" in capsys.readouterr().out


def test_programs_can_read_what_was_shipped(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ship", artifact, "-o", tmp_path / "bundle", "--json") == 0
    shipped = json.loads(capsys.readouterr().out)
    assert shipped["manifest_sha256"] == sha256_of(tmp_path / "bundle" / "manifest.json")
    assert {entry["path"] for entry in shipped["files"]} >= {"model.onnx", "LICENCE"}


def test_a_signature_from_a_shells_point_of_view(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = write_keys(tmp_path, "key", ec.generate_private_key(ec.SECP256R1()))
    _, other = write_keys(tmp_path, "other", ec.generate_private_key(ec.SECP256R1()))
    bundle = tmp_path / "bundle"
    assert run("ship", artifact, "-o", bundle, "--sign", private) == 0
    assert "signed: model.sig covers all files" in capsys.readouterr().out
    assert run("verify", bundle, "--public-key", public) == 0
    assert f"signed with the key of {public}" in capsys.readouterr().out
    assert run("verify", bundle) == 0
    assert "signed; --public-key checks by whom" in capsys.readouterr().out

    assert run("verify", bundle, "--public-key", other, "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["findings"][0]["problem"] == "signature"
    assert captured.err.count("\n") == 1
    for key in (private, tmp_path / "none.pub"):
        assert run("verify", bundle, "--public-key", key) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert run("verify", artifact, "--public-key", public) == 2
    (bundle / "model.sig").unlink()
    capsys.readouterr()
    assert run("verify", bundle, "--public-key", public) == 1
    assert "is missing: the bundle is not signed" in capsys.readouterr().err


def test_verify_names_each_difference_and_ends_with_1(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    run("ship", artifact, "-o", bundle)
    (bundle / "CARD.md").unlink()
    (bundle / "virus.exe").write_text("")
    capsys.readouterr()
    assert run("verify", bundle) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "missing     CARD.md: is missing",
        "extra       virus.exe: is not in the manifest",
    ]
    assert captured.err.count("\n") == 1
    assert run("verify", bundle, "--json") == 1
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert result["runtime"] is None
    assert [f["problem"] for f in result["findings"]] == ["missing", "extra"]


def test_a_hostile_manifest_ends_with_2(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    run("ship", artifact, "-o", bundle)
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text.replace("CARD.md", "../CARD.md"))
    capsys.readouterr()
    assert run("verify", bundle) == 2
    assert "path '../CARD.md' leaves the bundle" in capsys.readouterr().err


def test_an_existing_bundle_needs_force(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    assert run("ship", artifact, "-o", bundle) == 0
    assert run("ship", artifact, "-o", bundle) == 2
    assert "replace it with --force" in capsys.readouterr().err
    assert run("ship", artifact, "-o", bundle, "--force", "--name", "renamed") == 0
    assert json.loads((bundle / "manifest.json").read_text())["name"] == "renamed"


@pytest.mark.slow
def test_neither_command_imports_torch() -> None:
    code = (
        "import sys, quantkit.cli.ship, quantkit.cli.verify, quantkit.cli.gate;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_shipped_model_gives_log_probabilities(artifact: Path, tmp_path: Path) -> None:
    import onnxruntime

    run("ship", artifact, "-o", tmp_path / "bundle")
    session = onnxruntime.InferenceSession(str(tmp_path / "bundle/model.onnx"))
    feed = {"waveform": np.ones((1, 8_000), np.float32), "lengths": np.array([8_000])}
    log_probs, lengths = session.run(None, feed)
    assert lengths[0] == Frontend().frames_of(8_000)
    assert np.exp(log_probs).sum(axis=2) == pytest.approx(1.0, abs=1e-5)
