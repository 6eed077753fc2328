"""The options of ``quantkit export`` that say what an ``.onnx`` takes and gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.graph.artifact import read_info
from quantkit.graph.interface import interface_in
from tests.cli.shell import run
from tests.exporting.foreign_models import FLOAT, LABELS, features_models, node, of_samples, save


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


@pytest.mark.parametrize("option", ["--output-name", "--output", "--output="])
def test_an_output_is_named(option: str, tmp_path: Path, labels: Path) -> None:
    nodes = [*of_samples("one"), node("Neg", ["one"], ["two"])]
    axes = ["batch", "frames", len(LABELS)]
    audio = ("audio", FLOAT, ["batch", "samples"])
    source = save(
        tmp_path / "theirs.onnx", nodes, [audio], [("one", FLOAT, axes), ("two", FLOAT, axes)]
    )
    ours = tmp_path / "ours.onnx"
    named = [f"{option}two"] if option.endswith("=") else [option, "two"]
    arguments = ("--task", "ctc", "--labels", labels, "-o", ours)
    assert run("export", source, *arguments) == 2
    assert run("export", source, *arguments, *named) == 0
    interface = interface_in(read_info(ours).extra)
    assert interface is not None
    assert interface.output.name == "two"


def test_a_front_end_is_named(
    tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "theirs.onnx", *features_models()["bands before frames"])
    ours = tmp_path / "ours.onnx"
    arguments = ("--task", "ctc", "--labels", labels, "--output", ours)
    assert run("export", source, *arguments) == 2
    assert "say which 80 bands these are with --frontend nemo-80" in capsys.readouterr().err
    assert run("export", source, *arguments, "--frontend", "kaldi-80") == 0
    frontend = read_info(ours).frontend
    assert frontend is not None
    assert "kaldi-fbank" in frontend.to_json()
    assert run("export", source, *arguments, "--frontend", "mfcc") == 2
