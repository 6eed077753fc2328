"""Commands on a published folder of a transducer, and on what is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.audio.corpora import open_corpus
from quantkit.graph.artifact import model_files
from tests.cli import shell
from tests.exporting.folders.small_folders import write_nemo

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
SPEECH = REPOSITORY / "calibration_data"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nemo(tmp_path_factory.mktemp("published") / "tdt")


@pytest.fixture(scope="module")
def small(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "tdt"
    assert shell.run("quantize", published, "--preset", "dynamic-int8", "-o", folder) == 0
    return folder


@pytest.fixture(scope="module")
def clip() -> Path:
    (shortest, *_) = sorted(open_corpus(SPEECH), key=lambda clip: clip.seconds)
    assert shortest.path is not None
    return shortest.path


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_words_have_times_in_every_form(
    decoder: str, published: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for form in ("json", "srt", "vtt"):
        options = ("--words",) if form == "json" else ()
        code = shell.run(
            *("transcribe", published, clip, "--decoder", decoder, "--format", form), *options
        )
        assert code == 0
        found[form] = capsys.readouterr().out
    said = json.loads(found["json"])
    assert " ".join(word["text"] for word in said["words"]) == said["text"]
    for word in said["words"]:
        assert 0.0 <= word["start"] <= word["end"] <= said["seconds"]
        assert 0.0 < word["confidence"] <= 1.0
    assert said["words"][0]["text"] in found["srt"]
    assert found["vtt"].startswith("WEBVTT")
    assert " --> " in found["srt"]


@pytest.mark.parametrize(
    "option",
    [("--translate",), ("--timestamps",), ("--window", "2"), ("--language", "de")],
)
def test_what_it_cannot_follow_is_refused(
    option: tuple[str, ...], published: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run("transcribe", published, clip, *option) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert "has no use for" in shown.err
    assert len(shown.err.strip().splitlines()) == 1


def test_folders_are_benched_and_gated(
    published: Path, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, baseline = tmp_path / "report", tmp_path / "baseline.json"
    code = shell.run(
        *("bench", published, small, "--data", SPEECH, "--limit", "3", "--threads", "1"),
        *("--report", report, "--json"),
    )
    shown = capsys.readouterr()
    assert code == 0, shown.err
    whole, made = json.loads(shown.out)["models"]
    # What is run says what it is in its metadata, and the original does not.
    size = sum(path.stat().st_size for path in published.glob("*.onnx"))
    assert 0 <= whole["size_bytes"] - size < 20_000
    assert made["size_bytes"] == sum(path.stat().st_size for path in small.glob("*.onnx"))
    assert made["size_bytes"] < whole["size_bytes"]
    assert made["speedup"] > 0
    found = report / "bench.json"
    assert shell.run("gate", found, "--baseline", baseline, "--update") == 0
    assert shell.run("gate", found, "--baseline", baseline) == 0
    worse = json.loads(found.read_text())
    for model in worse["models"]:
        model["size_bytes"] *= 2
    found.write_text(json.dumps(worse))
    assert shell.run("gate", found, "--baseline", baseline) == 1


def test_an_artifact_of_three_graphs_is_benched_as_one(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tdt.onnx"
    assert shell.run("export", published, "-o", path) == 0
    capsys.readouterr()
    code = shell.run(*("bench", path, "--data", SPEECH, "--limit", "2", "--threads", "1", "--json"))
    shown = capsys.readouterr()
    assert code == 0, shown.err
    (model,) = json.loads(shown.out)["models"]
    assert model["size_bytes"] == sum(file.stat().st_size for file in model_files(path))
