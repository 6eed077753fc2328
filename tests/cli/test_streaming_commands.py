"""Commands on models that hear in chunks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli import shell
from tests.once import made_once
from tests.streaming_model import write_both

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Shown:
    exit_code: int
    stdout: str
    stderr: str


Run = Callable[..., Shown]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> Shown:
        capsys.readouterr()
        code = shell.run(*arguments)
        return Shown(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "streaming", write_both)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.wav"
    noise = np.random.default_rng(0).normal(0.0, 0.1, 24_000).astype(np.float32)
    soundfile.write(path, noise, 8_000)
    return path


def test_a_text_is_printed_as_it_grows(run: Run, models: Path, clip: Path) -> None:
    shown = run("transcribe", models / "stream.onnx", clip, "--stream")
    assert shown.exit_code == 0
    *partial, final = shown.stdout.splitlines()
    assert partial
    assert final == run("transcribe", models / "stream.onnx", clip).stdout.splitlines()[-1]
    times = [float(line.split(" s  ")[0]) for line in partial]
    assert times == sorted(times)
    # A chunk, and what is ahead of it.
    assert 1.1 < times[0] <= times[-1] <= 3.0


def test_each_line_is_an_object_for_programs(run: Run, models: Path, clip: Path) -> None:
    shown = run("transcribe", models / "stream.onnx", clip, clip, "--stream", "--json")
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [row["final"] for row in rows].count(True) == 2
    assert rows[-1]["seconds"] == pytest.approx(3.0, abs=0.01)
    assert {row["path"] for row in rows} == {str(clip)}


@pytest.mark.parametrize(
    "option", [("--words",), ("--vad",), ("-o", "texts"), ("--format", "srt"), ("--format", "tsv")]
)
def test_what_needs_the_whole_clip_is_refused(
    run: Run, models: Path, clip: Path, option: tuple[str, ...]
) -> None:
    shown = run("transcribe", models / "stream.onnx", clip, "--stream", *option)
    assert shown.exit_code == 2
    assert "needs all of it" in shown.stderr


def test_a_model_of_whole_clips_is_refused(run: Run, models: Path, clip: Path) -> None:
    shown = run("transcribe", models / "whole.onnx", clip, "--stream")
    assert shown.exit_code == 2
    assert "hears whole clips, so it has no text before the end of one" in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_a_clip_that_cannot_be_read_is_named(
    run: Run, models: Path, clip: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(100), 16_000)
    shown = run("transcribe", models / "stream.onnx", short, clip, "--stream")
    assert shown.exit_code == 2
    assert "short.wav: 100 samples are shorter than one window" in shown.stderr
    assert str(clip) in shown.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--chunk", "320ms"), "add --streaming"),
        (("--streaming", "--chunk", "many"), "a time such as 320ms or 0.32s"),
        (("--streaming", "--chunk", "315ms"), "a multiple of 20 ms"),
        (("--streaming", "--with-frontend"), "exclude each other"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    run: Run, options: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    source = REPOSITORY / "models" / "wav2letter-en"
    shown = run("export", source, "-o", tmp_path / "x.onnx", *options)
    assert shown.exit_code == 2
    assert reason in shown.stderr
    assert not (tmp_path / "x.onnx").exists()


def test_inspect_says_how_it_hears(run: Run, models: Path) -> None:
    shown = run("inspect", models / "stream.onnx")
    assert "hears in chunks of 160 ms, with a look-ahead of 960 ms" in shown.stdout
    said = json.loads(run("inspect", models / "stream.onnx", "--json").stdout)
    assert (said["chunk_seconds"], said["look_ahead_seconds"]) == (0.16, 0.96)
    assert "chunk_seconds" not in json.loads(run("inspect", models / "whole.onnx", "--json").stdout)


def test_bench_has_the_latency_of_a_chunk_and_gate_holds_it(
    run: Run, models: Path, tmp_path: Path
) -> None:
    shown = run(
        *("bench", models / "stream.onnx", models / "whole.onnx"),
        *("--data", REPOSITORY / "calibration_data", "--limit", "2", "--threads", "1"),
        *("--decoder", "greedy", "--report", tmp_path / "report", "--json"),
    )
    assert shown.exit_code == 0, shown.stderr
    stream, whole = json.loads(shown.stdout)["models"]
    assert whole["chunks"] is None
    chunks = stream["chunks"]
    assert (chunks["seconds"], chunks["look_ahead_seconds"]) == (0.16, 0.96)
    assert 0.0 < chunks["p50"] <= chunks["p95"]
    assert chunks["runs"] >= 10
    assert stream["weight_bytes_per_second"] == pytest.approx(stream["weight_bytes"] / 0.16)
    page = (tmp_path / "report" / "report.md").read_text()
    assert "Latency by chunk" in page
    found, baseline = tmp_path / "report" / "bench.json", tmp_path / "baseline.json"
    assert run("gate", found, "--baseline", baseline, "--update").exit_code == 0
    assert run("gate", found, "--baseline", baseline).exit_code == 0
    worse = json.loads(found.read_text())
    worse["models"][0]["size_bytes"] *= 2
    found.write_text(json.dumps(worse))
    held = run("gate", found, "--baseline", baseline, "--only", "stream")
    assert held.exit_code == 1
    assert "size" in held.stdout
