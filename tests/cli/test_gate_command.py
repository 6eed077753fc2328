"""``quantkit gate`` from a shell's point of view."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli import shell

WORDS = [f"utterance number {i}" for i in range(30)]


def bench(edits_of_int8: int) -> dict[str, Any]:
    def model(name: str, edits: int, speedup: float) -> dict[str, Any]:
        return {
            "name": name,
            "size_bytes": 1_000,
            "speedup": speedup,
            "utterances": [
                {"id": str(i), "reference": text, "hypothesis": text[edits:], "distance": edits}
                for i, text in enumerate(WORDS)
            ],
        }

    return {
        "schema": "quantkit.bench/1",
        "host": {"cpu": "a CPU", "machine": "x86_64", "vnni": True, "onnxruntime": "1.31.1"},
        "corpus": {"name": "thirty"},
        "decoder": "greedy",
        "models": [model("float32", 1, 1.0), model("int8", edits_of_int8, 3.8)],
    }


run = partial(shell.run, "gate")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(bench(1)))
    return path


@pytest.fixture
def worse(tmp_path: Path) -> Path:
    path = tmp_path / "worse.json"
    path.write_text(json.dumps(bench(2)))
    return path


@pytest.fixture
def baseline(tmp_path: Path, good: Path) -> Path:
    path = tmp_path / "baseline.json"
    assert run(good, "--baseline", path, "--update") == 0
    return path


def test_an_unchanged_run_passes(
    good: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(good, "--baseline", baseline) == 0
    assert "5 passed" in capsys.readouterr().out


def test_a_worse_model_ends_with_1_one_line_and_both_reports(
    worse: Path, baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit, summary = tmp_path / "out/gate.xml", tmp_path / "out/gate.md"
    assert run(worse, "--baseline", baseline, "--junit", junit, "--summary", summary) == 1
    captured = capsys.readouterr()
    assert "1 of 5 checks failed: int8 levenshtein: 1.000 → 2.000" in captured.err
    assert captured.err.count("\n") == 1
    assert "FAILED" in captured.out
    (failure,) = ElementTree.parse(junit).getroot().iter("failure")
    assert "1.000 → 2.000" in (failure.get("message") or "")
    assert "**FAILED**" in summary.read_text(encoding="utf-8")


def test_json_for_programs(worse: Path, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(worse, "--baseline", baseline, "--json") == 1
    result = json.loads(capsys.readouterr().out)
    assert result["passed"] is False
    assert [c["criterion"] for c in result["checks"] if c["verdict"] == "failed"] == ["levenshtein"]


def test_update_accepts_new_figures_and_keeps_the_tolerances(worse: Path, baseline: Path) -> None:
    content = json.loads(baseline.read_text())
    content["tolerances"]["speedup"] = {"relative": 0.4, "absolute": 0.1}
    baseline.write_text(json.dumps(content))
    assert run(worse, "--baseline", baseline, "--update") == 0
    renewed = json.loads(baseline.read_text())
    assert renewed["tolerances"] == content["tolerances"]
    assert renewed["models"][1]["levenshtein"] == 2.0
    assert run(worse, "--baseline", baseline) == 0


def test_update_says_which_models_it_drops(
    good: Path, baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fewer = bench(1)
    del fewer["models"][1]
    good.write_text(json.dumps(fewer))
    assert run(good, "--baseline", baseline) == 2
    assert run(good, "--baseline", baseline, "--update") == 0
    assert "no longer gated: int8" in capsys.readouterr().out


def test_update_does_not_overwrite_what_is_no_baseline(good: Path, tmp_path: Path) -> None:
    other = tmp_path / "package.json"
    other.write_text('{"name": "something else"}')
    assert run(good, "--baseline", other, "--update") == 2
    assert other.read_text() == '{"name": "something else"}'


@pytest.mark.parametrize("option", ["--junit", "--summary"])
def test_a_report_never_replaces_what_was_compared(
    good: Path, baseline: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (good, baseline):
        before = path.read_bytes()
        assert run(good, "--baseline", baseline, option, path) == 2
        assert "itself read by this command" in capsys.readouterr().err
        assert path.read_bytes() == before


def test_a_model_of_the_same_run_in_place_of_a_baseline(
    good: Path, worse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(good, "--against", "float32") == 0
    assert run(worse, "--against", "float32") == 1
    assert run(worse, "--against", "float32", "--tolerance", "edits=100%") == 0
    assert run(worse, "--against", "float32", "--criteria", "size,speed") == 0
    assert run(good, "--against", "int4") == 2
    assert "--against takes one of float32, int8" in capsys.readouterr().err


def test_several_corpora_in_one_run(
    good: Path, worse: Path, baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(good, good, "--baseline", baseline) == 2
    assert "there are 2 bench runs and 1 baselines" in capsys.readouterr().err
    assert run(good, worse, "--baseline", baseline, "--baseline", baseline) == 1
    assert "1 of 10 checks failed" in capsys.readouterr().err
    second = tmp_path / "second.json"
    args = (good, worse, "--baseline", baseline, "--baseline", second, "--update")
    assert run(*args) == 0
    assert second.exists()


def test_neither_a_baseline_nor_a_model_is_a_mistake(
    good: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(good) == 2
    assert "name a baseline with --baseline, or a model with --against" in capsys.readouterr().err
    assert run(good, "--baseline", baseline, "--against", "float32") == 2
    assert "either against baselines or" in capsys.readouterr().err


def test_a_run_that_does_not_know_its_clips_cannot_be_divided(
    good: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(good, "--baseline", baseline, "--by", "language") == 2
    assert "bench it anew" in capsys.readouterr().err
    assert run(good, "--baseline", baseline, "--by", "words", "--json") == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    words = [check["slice"] for check in checks if check["model"] == "int8" and check["slice"]]
    assert words == ["words: first", "words: last", "words: rare"]
