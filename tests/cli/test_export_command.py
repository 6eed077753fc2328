"""``quantkit export`` from a shell's point of view."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from quantkit.audio.frontend import Frontend  # noqa: E402
from quantkit.graph.artifact import read_info  # noqa: E402
from quantkit.models.checkpoint import save_wav2letter  # noqa: E402
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig  # noqa: E402
from quantkit.text.labels import Labels  # noqa: E402
from tests.cli.shell import run  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    model = Wav2Letter(Wav2LetterConfig(labels=29, width=8, head_width=8))
    save_wav2letter(folder, model, Labels.english(), Frontend())
    return folder


@pytest.mark.slow
def test_exports_and_says_so(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "float32.onnx"
    assert run("export", checkpoint, "-o", output) == 0
    assert "opset 18; ONNX Runtime agrees with PyTorch to" in capsys.readouterr().out
    assert read_info(output).name == "tiny"


@pytest.mark.slow
def test_json_result(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "waveform.onnx"
    assert run("export", checkpoint, "-o", output, "--with-frontend", "--name", "x", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["size_bytes"] == output.stat().st_size
    assert result["parity"]["worst"]["difference"] < result["parity"]["tolerance"]
    assert (read_info(output).name, read_info(output).fused) == ("x", True)


def test_bad_input_gives_one_line_and_exit_code_2(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", tmp_path / "none", "-o", tmp_path / "a.onnx") == 2
    error = capsys.readouterr().err
    assert error.startswith("quantkit: ")
    assert "none: no such file or folder" in error
    assert error.count("\n") == 1
    assert run("export", checkpoint, "-o", tmp_path / "a.onnx", "--opset", "9") == 2
    assert list(tmp_path.iterdir()) == []


def test_without_torch_it_names_the_extra(
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("quantkit.exporting.to_onnx")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run("export", checkpoint, "-o", tmp_path / "a.onnx") == 2
    error = capsys.readouterr().err
    assert "export needs torch" in error
    assert "pip install 'quantkit[export]'" in error


def test_a_hub_that_cannot_be_reached_gives_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("quantkit.models.hub")

    def fail(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    assert run("export", "facebook/wav2vec2-base-960h", "-o", tmp_path / "a.onnx") == 2
    error = capsys.readouterr().err
    asked, refused = error.splitlines()
    assert asked.endswith("asking the Hugging Face hub for facebook/wav2vec2-base-960h")
    assert refused.startswith("quantkit: facebook/wav2vec2-base-960h is not a folder here")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_the_checkpoint_itself_is_never_overwritten(
    checkpoint: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (checkpoint / name).read_bytes()
    link = tmp_path / "out.onnx"
    link.symlink_to(checkpoint / name)
    for source in (checkpoint, checkpoint / "model.safetensors"):
        assert run("export", source, "-o", checkpoint / name) == 2
        refusal = capsys.readouterr().err
        assert "takes a name that ends in .onnx" in refusal or "itself read by this" in refusal
        assert run("export", source, "-o", link) == 2
        assert "itself read by this command" in capsys.readouterr().err
    assert (checkpoint / name).read_bytes() == before
