"""``quantkit bench`` from a shell's point of view."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.benchmarking.schema import read_report
from quantkit.errors import OutputError
from quantkit.exporting.frontend_graph import fuse_frontend
from quantkit.graph.artifact import load_model, save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.text.labels import Labels
from tests.cli import shell

LABELS = Labels(("_", " ", "a", "b"))
QUICK = ("--batch-sizes", "1,2", "--threads", "1", "--decoder", "greedy")


def write_model(path: Path, labels: Labels = LABELS) -> Path:
    """A recogniser that hears one ``a`` in whatever it is given."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "deaf"], ["silence"]),
            helper.make_node("Add", ["silence", "taste"], ["logits"]),
            helper.make_node("LogSoftmax", ["logits"], ["log_probs"]),
            helper.make_node("Identity", ["lengths"], ["output_lengths"]),
        ],
        "always_a",
        [
            value("features", TensorProto.FLOAT, ["batch", "frames", 40]),
            value("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            value("log_probs", TensorProto.FLOAT, ["batch", "frames", 4]),
            value("output_lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            numpy_helper.from_array(np.zeros((40, 4), np.float32), "deaf"),
            numpy_helper.from_array(np.array([0, 0, 9, 0], np.float32), "taste"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    set_info(model, ArtifactInfo(labels=labels, frontend=Frontend(), task="ctc"))
    save_model(model, path)
    return path


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    return [write_model(tmp_path / "one.onnx"), write_model(tmp_path / "two.onnx")]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A plain folder of two clips without transcripts."""
    folder = tmp_path / "clips"
    folder.mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(8_000)
    for name, samples in (("short", 4_000), ("long", 8_000)):
        soundfile.write(folder / f"{name}.flac", noise[:samples], 16_000)
    return folder


@pytest.fixture
def labelled(clips: Path) -> Path:
    rows = [
        "path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext",
        "short.flac\ttest\t\t\ten\t0.25\ta",
        "long.flac\ttest\t\t\ten\t0.50\tab a",
    ]
    (clips / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return clips


run = partial(shell.run, "bench")


@pytest.mark.slow
def test_report_and_tables(
    models: list[Path], labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "deep" / "report"
    assert run(*models, "--data", labelled, "--report", report, *QUICK) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for expected in ("one", "two", "What it costs", "What it hears", str(report / "index.html")):
        assert expected in printed.out
    assert sorted(path.name for path in report.iterdir()) == [
        "bench.json",
        "index.html",
        "report.md",
    ]
    found = read_report(report / "bench.json")
    assert [model.levenshtein for model in found.models] == [1.5, 1.5]
    assert found.corpus.split == "test"


@pytest.mark.slow
def test_json_goes_to_standard_output_alone(
    models: list[Path], labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(models[0], "--data", labelled, *QUICK, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["schema"] == "quantkit.bench/1"
    assert content["models"][0]["utterances"][0]["hypothesis"] == "a"


def test_filters_are_recorded(
    models: list[Path], labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--language", "en", "--max-seconds", "0.3", "--json")
    assert run(models[0], "--data", labelled, *QUICK, *arguments) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["corpus"]["filters"] == ["language en", "clips of at most 0.3 s"]


def test_beam_search_is_the_default(
    models: list[Path], labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(models[0], "--data", labelled, "--threads", "1", "--batch-sizes", "1", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["decoder"] == "beam, width 20"
    assert [u["hypothesis"] for u in content["models"][0]["utterances"]] == ["a", "a"]


@pytest.mark.slow
def test_a_fused_front_end_runs_beside_its_features_model(
    models: list[Path], labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(fuse_frontend(load_model(models[1]), Frontend()), models[1])
    assert run(*models, "--data", labelled, *QUICK, "--json") == 0
    plain, fused = json.loads(capsys.readouterr().out)["models"]
    assert plain["utterances"] == fused["utterances"]
    assert fused["weight_bytes"] > plain["weight_bytes"]


def test_clips_without_text_are_benched_for_cost(
    models: list[Path], clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(models[0], "--data", clips, *QUICK) == 0
    printed = capsys.readouterr().out
    assert "note: No clip has a transcript, so accuracy is left out" in printed
    assert "What it costs" in printed
    assert "What it hears" not in printed


def test_broken_clips_are_counted(
    models: list[Path], clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "broken.wav").write_bytes(b"no audio")
    assert run(models[0], "--data", clips, *QUICK) == 0
    printed = capsys.readouterr().out
    assert "1 clip was left out" in printed
    assert "broken.wav" in printed


def test_bad_input_is_one_line(
    models: list[Path], labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "text.onnx").write_text("no model")
    other = write_model(tmp_path / "other.onnx", Labels(("_", " ", "x", "y")))
    cases = [
        (models[0], "--data", empty),
        (models[0], "--data", tmp_path / "nowhere"),
        (tmp_path / "missing.onnx", "--data", labelled),
        (tmp_path / "text.onnx", "--data", labelled),
        (models[0], models[0], "--data", labelled),
        (models[0], other, "--data", labelled),
        (models[0], "--data", labelled, "--split", "dev"),
        (models[0], "--data", labelled, "--language-model", tmp_path / "lm.arpa"),
    ]
    for case in cases:
        assert run(*case, *QUICK) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("quantkit: ")
        assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "wrong", [("--batch-sizes", "1,x"), ("--batch-sizes", "0"), ("--threads", "-1"), ("--limit", 0)]
)
def test_wrong_numbers_are_usage_errors(
    models: list[Path],
    labelled: Path,
    wrong: tuple[str, object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(models[0], "--data", labelled, *wrong) == 2
    assert wrong[0] in capsys.readouterr().err


def test_an_unwritable_report_is_named_before_anything_is_measured(
    models: list[Path],
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quantkit.benchmarking.run.run_bench", lambda *_: pytest.fail("measured"))
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "report"
    assert run(models[0], "--data", labelled, "--report", target, *QUICK) == 2
    printed = capsys.readouterr()
    assert f"cannot write to {target}" in printed.err
    assert printed.err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(("options", "shown"), [((), "What it costs"), (("--json",), '"models"')])
def test_what_was_measured_is_shown_even_if_it_cannot_be_written(
    models: list[Path],
    labelled: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    shown: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OutputError("cannot write bench.json: the disk is full")

    monkeypatch.setattr("quantkit.api.bench.write_report", fail)
    report = tmp_path / "report"
    assert run(models[0], "--data", labelled, "--report", report, *QUICK, *options) == 2
    printed = capsys.readouterr()
    assert shown in printed.out
    assert "cannot write" in printed.err


@pytest.mark.parametrize("error", [OutputError("cannot write: the disk is full"), KeyError("x")])
def test_an_earlier_report_is_replaced_as_a_whole_or_by_all_but_its_page(
    models: list[Path],
    labelled: Path,
    tmp_path: Path,
    error: Exception,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    report = tmp_path / "report"
    report.mkdir()
    for name in ("bench.json", "report.md", "index.html"):
        (report / name).write_text("earlier")
    monkeypatch.setattr("quantkit.benchmarking.page.write_page", fail)
    is_full = isinstance(error, OSError)
    code = run(models[0], "--data", labelled, "--report", report, *QUICK)
    assert code == (2 if is_full else 70)
    kept = {path.name for path in report.iterdir() if path.read_text() == "earlier"}
    assert kept == {"index.html", *(("bench.json", "report.md") if is_full else ())}
    assert len(list(report.iterdir())) == 3


def test_no_empty_folder_is_left_where_a_report_could_not_be_written(
    models: list[Path],
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object, place: Path) -> None:
        raise OutputError(f"cannot write {place}: the disk is full")

    monkeypatch.setattr("quantkit.api.bench.write_report", fail)
    report = tmp_path / "deep" / "report"
    assert run(models[0], "--data", labelled, "--report", report, *QUICK) == 2
    assert f"cannot write {report}/bench.json: the disk is full" in capsys.readouterr().err
    assert not (tmp_path / "deep").exists()


@pytest.mark.slow
def test_slices_and_added_sounds_stand_in_the_report(
    models: list[Path], labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--by", "length:0.3,noise", "--add", "noise:0dB", "--seed", "3", "--json"]
    assert run(models[0], "--data", labelled, *QUICK, *arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["corpus"]["added"] == "noise:0dB, seed 3"
    assert found["by"] == ["length:0.3", "noise"]
    assert {"length", "level", "noise"} <= found["clips"][0]["measured"].keys()
    assert [each["value"] for each in found["slices"]][:2] == ["", "below 0.3 s"]
