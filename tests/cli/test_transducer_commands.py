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
