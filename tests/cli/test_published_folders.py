"""Commands that are given a published folder instead of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.audio.corpora import open_corpus
from tests.cli.shell import run
from tests.exporting.folders.small_folders import write_nemo

REPOSITORY = Path(__file__).resolve().parents[2]
AUDIO = REPOSITORY / "calibration_data"
FILES = ["config.json", "decoder_joint-model.onnx", "encoder-model.onnx", "vocab.txt"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nemo(tmp_path_factory.mktemp("published") / "tdt")


@pytest.fixture(scope="module")
def small(folder: Path) -> Path:
    assert run("quantize", folder, "--preset", "dynamic-int8", "-o", folder.with_name("small")) == 0
    return folder.with_name("small")


def graph_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.onnx"))


def test_quantize_writes_a_folder(small: Path) -> None:
    assert sorted(path.name for path in small.iterdir()) == FILES


def test_what_would_be_written_is_listed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--preset", "dynamic-int8", "-o", out, "--suffix", ".int8", "--dry-run"]
    assert run("quantize", folder, *arguments) == 0
    said = capsys.readouterr().out
    assert f"would write  {out / 'encoder-model.int8.onnx'}" in said
    assert f"would write  {out / 'vocab.txt'}" in said
    assert not out.exists()


def test_transcribe_and_inspect_take_it(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = next(iter(open_corpus(AUDIO))).path
    assert run("transcribe", small, clip, "--json") == 0
    assert json.loads(capsys.readouterr().out)["text"]
    assert run("inspect", small, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == str(small)
    assert found["size_bytes"] == graph_bytes(small)


def test_verify_compares_all_its_files(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", small) == 0
    assert "checksum holds; the model runs" in capsys.readouterr().out


def test_unpack_writes_a_folder(small: Path, tmp_path: Path) -> None:
    assert run("unpack", small, "-o", tmp_path / "unpacked") == 0
    names = {path.name for path in (tmp_path / "unpacked").iterdir()}
    assert names >= {*FILES, "encoder-model.onnx.data"}
    assert run("verify", tmp_path / "unpacked") == 0


def test_a_bundle_of_the_folder_needs_a_licence(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ship", small, "-o", tmp_path / "bundle") == 2
    assert "give its text with --licence FILE" in capsys.readouterr().err


@pytest.mark.slow
def test_a_plan_foretells_the_bytes_of_the_folder(folder: Path, tmp_path: Path) -> None:
    heard = ["--audio", AUDIO, "--clips", 2]
    plan = tmp_path / "plan.json"
    assert run("plan", folder, "--budget", "60KB", *heard, "-o", plan) == 0
    assert run("quantize", folder, "--plan", plan, *heard, "-o", tmp_path / "planned") == 0
    content = json.loads(plan.read_text(encoding="utf-8"))
    assert content["predicted_bytes"] == graph_bytes(tmp_path / "planned")


@pytest.mark.slow
def test_bench_calls_models_after_their_folders(folder: Path, small: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    arguments = ["--data", AUDIO, "--limit", 1, "--decoder", "greedy", "--report", report]
    assert run("bench", folder, small, *arguments) == 0
    models = json.loads((report / "bench.json").read_text(encoding="utf-8"))["models"]
    assert [model["name"] for model in models] == ["tdt", "small"]
    assert models[1]["size_bytes"] == graph_bytes(small)
