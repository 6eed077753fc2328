"""Each kind of source finds its exporter, and options that do not concern it are refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantkit.errors import CheckpointError, InputError, MissingDependencyError, ModelError
from quantkit.exporting import sources
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.graph.artifact import save_model
from tests.small_model import masked_convolutions

PRETRAINED = "wav2vec 2.0 and relatives"


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Which exporter was called, and with what."""
    found: list[tuple[str, Path]] = []

    def note(name: str) -> Any:
        def exporter(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
            found.append((name, source))
            return ParityReport(0.0, ())

        return exporter

    for name in ("_export_onnx", "_export_wav2letter"):
        monkeypatch.setattr(sources, name, note(name.removeprefix("_export_")))
    kinds = tuple(replace(kind, export=note(kind.name)) for kind in sources.KINDS)
    monkeypatch.setattr(sources, "KINDS", kinds)
    return found


@pytest.mark.parametrize(
    ("config", "exporter"),
    [
        ('{"schema": "quantkit.checkpoint/1", "architecture": "wav2letter"}', "wav2letter"),
        ('{"architectures": ["Wav2Vec2ForCTC"]}', PRETRAINED),
        ('{"model_type": "bert"}', PRETRAINED),
        ('{"model_type": "whisper"}', "Whisper of transformers"),
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

    monkeypatch.setattr(sources, "KINDS", (replace(sources.KINDS[-1], export=exporter),))
    hub = pytest.importorskip("quantkit.models.hub")
    (tmp_path / "config.json").write_text('{"architectures": ["HubertForCTC"]}')
    monkeypatch.setattr(
        hub, "downloaded", lambda name, language: tmp_path if name == "a/b" else None
    )
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
        (ExportOptions(window=1.0), "--window is for a Whisper"),
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


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "pytorch_model.bin"])
def test_a_file_of_a_model_stands_for_its_folder(
    tmp_path: Path, called: list[tuple[str, Path]], name: str
) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["Wav2Vec2ForCTC"]}')
    (tmp_path / "model.safetensors").touch()
    (tmp_path / name).touch()
    export_source(str(tmp_path / name), tmp_path / "a.onnx", ExportOptions())
    assert called == [(PRETRAINED, tmp_path)]


def test_a_model_in_the_cache_of_the_hub_has_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of a commit are links into ``blobs``."""
    found: list[tuple[Path, str]] = []

    def exporter(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
        found.append((source, options.name))
        return ParityReport(0.0, ())

    monkeypatch.setattr(sources, "KINDS", (replace(sources.KINDS[-1], export=exporter),))
    folder = tmp_path / "models--a--b"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / "123").write_text('{"architectures": ["HubertForCTC"]}')
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/123")
    for source in (folder, snapshot, snapshot / "config.json"):
        export_source(str(source), tmp_path / "a.onnx", ExportOptions())
    assert found == [(snapshot, "b")] * 3


def test_an_adapter_is_merged_into_the_model_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    found: list[tuple[Path, ExportOptions]] = []

    def exporter(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
        found.append((source, options))
        return ParityReport(0.0, ())

    pretrained = replace(sources.KINDS[-1], export=exporter)
    monkeypatch.setattr(sources, "KINDS", (sources.KINDS[0], pretrained))
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
    (base / "config.json").write_text('{"architectures": ["HubertForCTC"]}')
    settings = adapter / "adapter_config.json"
    settings.write_text('{"peft_type": "LORA", "base_model_name_or_path": "../base"}')
    export_source(str(adapter), tmp_path / "a.onnx", ExportOptions())
    ((source, options),) = found
    assert source.samefile(base)
    assert (options.name, options.adapter) == ("adapter", adapter)
    # One that names itself goes round in a circle.
    settings.write_text('{"peft_type": "LORA", "base_model_name_or_path": "."}')
    with pytest.raises(InputError, match="no model of transformers"):
        export_source(str(adapter), tmp_path / "a.onnx", ExportOptions())
