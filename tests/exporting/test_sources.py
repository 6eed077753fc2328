"""Each kind of source finds its exporter, and options that do not concern it are refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from quantkit.errors import CheckpointError, InputError, MissingDependencyError, ModelError
from quantkit.exporting import sources
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.graph.artifact import save_model
from tests.small_model import masked_convolutions


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Which exporter was called, and with what."""
    found: list[tuple[str, Path]] = []

    def note(name: str) -> Any:
        def exporter(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
            found.append((name, source))
            return ParityReport(0.0, ())

        return exporter

    for name in ("_export_onnx", "_export_pretrained", "_export_wav2letter"):
        monkeypatch.setattr(sources, name, note(name.removeprefix("_export_")))
    return found


@pytest.mark.parametrize(
    ("config", "exporter"),
    [
        ('{"schema": "quantkit.checkpoint/1", "architecture": "wav2letter"}', "wav2letter"),
        ('{"architectures": ["Wav2Vec2ForCTC"]}', "pretrained"),
        ('{"model_type": "bert"}', "pretrained"),
    ],
)
def test_the_configuration_tells_what_a_folder_holds(
    tmp_path: Path, called: list[tuple[str, Path]], config: str, exporter: str
) -> None:
    (tmp_path / "config.json").write_text(config)
    export_source(str(tmp_path), tmp_path / "a.onnx", ExportOptions())
    assert called == [(exporter, tmp_path)]


def test_a_configuration_that_is_cut_off_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config.json is not JSON, or is truncated"):
        export_source(str(tmp_path), tmp_path / "a.onnx", ExportOptions())


def test_an_onnx_is_told_by_its_name(tmp_path: Path, called: list[tuple[str, Path]]) -> None:
    export_source("theirs.onnx", tmp_path / "a.onnx", ExportOptions())
    assert called == [("onnx", Path("theirs.onnx"))]


def test_a_name_is_looked_up_on_the_hub_and_names_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[Path, str]] = []

    def exporter(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
        found.append((source, options.name))
        return ParityReport(0.0, ())

    monkeypatch.setattr(sources, "_export_pretrained", exporter)
    hub = pytest.importorskip("quantkit.models.hub")
    (tmp_path / "config.json").write_text('{"architectures": ["HubertForCTC"]}')
    monkeypatch.setattr(hub, "downloaded", lambda name: tmp_path if name == "a/b" else None)
    export_source("a/b", tmp_path / "a.onnx", ExportOptions())
    export_source("a/b", tmp_path / "a.onnx", ExportOptions(name="mine"))
    assert found == [(tmp_path, "b"), (tmp_path, "mine")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ExportOptions(labels=Path("l.txt")), "--labels is for an .onnx"),
        (ExportOptions(task="ctc"), "--task is for an .onnx"),
        (ExportOptions(blank=0), "--blank is for an .onnx"),
        (ExportOptions(sample_rate=8_000), "--sample-rate is for an .onnx"),
        (ExportOptions(normalize=True), "--normalize is for an .onnx"),
    ],
)
def test_a_model_in_pytorch_says_these_itself(
    tmp_path: Path, options: ExportOptions, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export_source(str(tmp_path), tmp_path / "a.onnx", options)


def test_an_onnx_needs_labels_and_task_and_keeps_its_opset(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.onnx"
    save_model(masked_convolutions(), theirs)
    for options in (ExportOptions(task="ctc"), ExportOptions(labels=Path("l.txt"))):
        with pytest.raises(InputError, match="give --labels and --task"):
            export_source(str(theirs), tmp_path / "a.onnx", options)
    theirs.write_bytes(theirs.read_bytes()[:-1_000])
    with pytest.raises(ModelError, match="cut off"):
        export_source(str(theirs), tmp_path / "a.onnx", ExportOptions())
    with pytest.raises(InputError, match="--opset is for a model in PyTorch"):
        export_source("theirs.onnx", tmp_path / "a.onnx", ExportOptions(opset=18))


def test_a_folder_of_nothing_is_no_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        export_source(str(tmp_path), tmp_path / "a.onnx", ExportOptions())


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["HubertForCTC"]}')
    for name in [name for name in sys.modules if name.startswith("quantkit.exporting.pretrained")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'quantkit\[export\]'"):
        export_source(str(tmp_path), tmp_path / "a.onnx", ExportOptions())
