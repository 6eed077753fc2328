"""``quantkit finetune`` from a shell's point of view."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from quantkit.audio.frontend import Frontend  # noqa: E402
from quantkit.exporting.to_onnx import export_wav2letter  # noqa: E402
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig  # noqa: E402
from quantkit.text.labels import Labels  # noqa: E402
from tests.cli.shell import run  # noqa: E402


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "float32.onnx"
    torch.manual_seed(0)
    model = Wav2Letter(Wav2LetterConfig(labels=29, width=16, head_width=16)).eval()
    export_wav2letter(model, Labels.english(), Frontend(), path)
    return path


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    random = np.random.default_rng(0)
    for i in range(4):
        noise = random.uniform(-0.3, 0.3, 8_000) * np.linspace(0.2, 1.0, 8_000)
        soundfile.write(folder / f"{i}.wav", noise, 16_000)
    return folder


@pytest.mark.slow
def test_a_short_run_writes_a_file_and_says_how_far_it_came(
    source: Path, audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tuned.onnx"
    arguments = [source, "--compute", "static", "--codec", "ternary", "--audio", audio]
    assert run("finetune", *arguments, "--steps", 2, "-o", output, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["steps"] == 2
    assert said["size_bytes"] == output.stat().st_size
    assert (tmp_path / "tuned.finetune" / "last.pt").is_file()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--preset", "static-int8"), "Missing option '--audio'"),
        (("--audio", "{audio}"), "give one of --plan, --preset and --compute"),
        (("--audio", "{audio}", "--preset", "static-int8", "--minutes", "0"), "x>0"),
        (("--audio", "{audio}", "--plan", "none.json"), "none.json"),
        (("--audio", "nowhere", "--preset", "static-int8"), "nowhere"),
    ],
)
def test_bad_input_is_one_line(
    source: Path,
    audio: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    complaint: str,
) -> None:
    given = [each.replace("{audio}", str(audio)) for each in arguments]
    assert run("finetune", source, *given, "-o", tmp_path / "tuned.onnx") == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_earlier_run_is_not_written_over(
    source: Path, audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.pt").write_bytes(b"")
    given = ["--preset", "static-int8", "--audio", audio, "--run", tmp_path / "run"]
    assert run("finetune", source, *given, "-o", tmp_path / "tuned.onnx") == 2
    assert "holds an earlier run: add --resume" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_done(
    source: Path, audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--preset", "static-int8", "--audio", audio, "--minutes", 5, "--dry-run"]
    assert run("finetune", source, *given, "-o", tmp_path / "tuned.onnx") == 0
    assert "on 4 clips" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
