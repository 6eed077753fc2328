"""``quantkit personalize`` from a shell's point of view."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.graph.artifact import save_model
from quantkit.graph.plan import read_plan
from tests.cli.shell import run
from tests.small_model import masked_convolutions

RATE = 16_000
CANDIDATES = ("--candidate", "grouped:2", "--candidate", "bitplane:4", "--candidate", "int8")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(masked_convolutions(width=2), path)
    return path


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    random = np.random.default_rng(0)
    for i, seconds in enumerate((0.5, 1.0, 0.2)):
        noise = random.uniform(-0.3, 0.3, int(RATE * seconds))
        # Its level changes, as that of speech does.
        noise *= np.linspace(0.2, 1.0, noise.size)
        soundfile.write(folder / f"{i}.wav", noise, RATE)
    (folder / "broken.wav").write_bytes(b"RIFF????WAVE")
    return folder


@pytest.mark.slow
def test_model_plan_and_report_are_written(
    source: Path, audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, plan, report = tmp_path / "user.onnx", tmp_path / "plan.json", tmp_path / "user.html"
    arguments = [source, "--audio", audio, "--budget", "52kB", *CANDIDATES, "--rounds", "1"]
    arguments += ["--plan", plan, "--report", report, "-o", output]
    arguments += ["--by", "length:0.4", "--add", "noise:5dB,reverb"]
    assert run("personalize", *arguments) == 0
    shown, errors = capsys.readouterr()
    assert f"{output}: {output.stat().st_size:,} of 52,000 bytes" in shown
    assert "layer4.conv holds" in shown
    assert "nats per frame" in shown
    assert "broken.wav" in errors
    assert "Only 3 clips" in errors
    for slice_name in ("length: below 0.4 s *", "sound: noise:5dB,reverb *"):
        assert slice_name in shown
        assert slice_name in report.read_text(encoding="utf-8")
    assert read_plan(plan).predicted_bytes == output.stat().st_size
    assert "layer4.conv" in report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_json_says_it_all(
    source: Path, audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "user.onnx"
    arguments = ["--audio", audio, "--budget", "52kB", *CANDIDATES, "--rounds", "0", "--json"]
    assert run("personalize", source, *arguments, "-o", output) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["size_bytes"] == output.stat().st_size
    assert document["clips"] == 3
    assert len(document["plan"]["layers"]) == 6
    assert document["measured_divergence"] >= 0


@pytest.mark.slow
def test_no_grid_is_kept_that_costs_more_than_was_said(
    source: Path, audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, plan = tmp_path / "user.onnx", tmp_path / "plan.json"
    arguments = ["--audio", audio, "--budget", "52kB", *CANDIDATES, "--rounds", "0"]
    arguments += ["--max-input-divergence", "0", "--plan", plan, "-o", output]
    assert run("personalize", source, *arguments) == 0
    assert {row.compute for row in read_plan(plan).layers} == {"float32"}
    assert "float product: the usual integer input alone costs" in capsys.readouterr().out
    assert output.stat().st_size <= 52_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--budget", "52kB"], "--audio"),
        (["--budget", "lots", "--audio", "AUDIO"], "not a size"),
        (["--budget", "1kB", "--audio", "AUDIO", *CANDIDATES], "impossible"),
        (["--budget", "52kB", "--audio", "EMPTY"], "no clip"),
        (["--budget", "52kB", "--audio", "AUDIO", "--codec", "grouped:3"], "--candidate"),
        (["--budget", "52kB", "--audio", "AUDIO", "--candidate", "morse:3"], "morse"),
        (["--budget", "52kB", "--audio", "AUDIO", "--window", "auto"], "is for a Whisper"),
        (["--budget", "52kB", "--audio", "AUDIO", "--window", "0"], "is for a Whisper"),
    ],
)
def test_bad_input_gets_one_line_and_loses_nothing(
    source: Path,
    audio: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    output = tmp_path / "user.onnx"
    output.write_bytes(b"what was there")
    folders = {"AUDIO": audio, "EMPTY": empty}
    given = [folders.get(argument, argument) for argument in arguments]
    assert run("personalize", source, *given, "-o", output) == 2
    errors = capsys.readouterr().err
    assert named in errors
    assert "Traceback" not in errors
    assert output.read_bytes() == b"what was there"


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (["-o", "MODEL"], "is itself read by this command"),
        (["-o", "user.onnx", "--report", "MODEL"], "is itself read by this command"),
        (["-o", "user.onnx", "--plan", "MODEL"], "is itself read by this command"),
        (["-o", "user.onnx", "--plan", "user.onnx"], "is named for two results"),
        (["-o", "user.onnx", "--report", "page.txt"], "--report takes a name that ends in .html"),
        (["-o", "user.onnx", "--report", "FOLDER"], "is itself read by this command"),
        (["-o", "CLIP"], "is itself read by this command"),
    ],
)
def test_results_replace_nothing_that_is_needed(
    results: list[str],
    message: str,
    source: Path,
    audio: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip = audio / "0.wav"
    before = source.read_bytes(), clip.read_bytes()
    (tmp_path / "link.onnx").symlink_to(clip)
    places = {"MODEL": source, "FOLDER": audio, "CLIP": tmp_path / "link.onnx"}
    given = [part if part[0] == "-" else places.get(part, tmp_path / part) for part in results]
    assert run("personalize", source, "--audio", audio, "--budget", "52kB", *given) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert (source.read_bytes(), clip.read_bytes()) == before
    assert not (tmp_path / "user.onnx").exists()


def test_a_folder_that_is_no_checkpoint_is_refused(
    audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    arguments = ["--audio", audio, "--budget", "52kB", "-o", tmp_path / "user.onnx"]
    assert run("personalize", folder, *arguments) == 2
    assert "no checkpoint" in capsys.readouterr().err
