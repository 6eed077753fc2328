"""``bench.json`` and back, and the gate as its reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantkit.benchmarking.figures import read_figures
from quantkit.benchmarking.schema import BenchReport, read_report, write_report
from quantkit.errors import FormatError


def test_a_report_survives_the_file(
    report: BenchReport, unlabelled: BenchReport, tmp_path: Path
) -> None:
    for written in (report, unlabelled):
        write_report(written, tmp_path / "bench.json")
        assert read_report(tmp_path / "bench.json") == written


def test_the_file_is_strict_json_with_a_schema(report: BenchReport, tmp_path: Path) -> None:
    write_report(report, tmp_path / "bench.json")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads((tmp_path / "bench.json").read_text(), parse_constant=refuse)
    assert content["schema"] == "quantkit.bench/1"
    row = content["models"][0]["utterances"][3]
    assert (row["id"], row["reference"], row["hypothesis"], row["distance"]) == (
        "clip-b",
        "b b",
        "b",
        2,
    )


def test_the_gate_reads_it(report: BenchReport, tmp_path: Path) -> None:
    write_report(report, tmp_path / "bench.json")
    figures = read_figures(tmp_path / "bench.json")
    assert figures.decoder == "greedy"
    assert figures.corpus.utterances == 5
    for model, result in zip(figures.models, report.models, strict=True):
        assert (model.name, model.sha256) == (result.name, result.sha256)
        assert model.levenshtein == pytest.approx(result.levenshtein)
        assert (model.speedup, model.speedup_ci) == (result.speedup, result.speedup_ci)


def remove_host(content: dict[str, Any]) -> None:
    del content["host"]


def no_models(content: dict[str, Any]) -> None:
    content["models"] = []


def text_for_number(content: dict[str, Any]) -> None:
    content["models"][0]["rtf"] = "fast"


def flag_for_number(content: dict[str, Any]) -> None:
    content["seed"] = True


def short_interval(content: dict[str, Any]) -> None:
    content["models"][1]["cer_ci"] = [0.1]


def object_for_list(content: dict[str, Any]) -> None:
    content["models"][0]["utterances"] = {}


def negative_time(content: dict[str, Any]) -> None:
    content["corpus"]["seconds"] = -1.0


def negative_count_deep_inside(content: dict[str, Any]) -> None:
    content["models"][1]["utterances"][0]["length"] = -1


def negative_end_of_an_interval(content: dict[str, Any]) -> None:
    content["models"][0]["cer_ci"] = [-0.5, 0.1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_host, "host is missing"),
        (no_models, "contains no model"),
        (text_for_number, r"models\[0\]: rtf must be a number, not 'fast'"),
        (flag_for_number, "seed must be a whole number, not True"),
        (short_interval, r"models\[1\]: cer_ci must hold 2 values, not 1"),
        (object_for_list, "utterances must be a list"),
        (negative_time, "corpus: seconds must be at least 0, not -1"),
        (negative_count_deep_inside, r"utterances\[0\]: length must be at least 0, not -1"),
        (negative_end_of_an_interval, r"models\[0\]: cer_ci\[0\] must be at least 0"),
    ],
)
def test_damage_is_named(
    report: BenchReport,
    tmp_path: Path,
    damage: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    content = report.to_json()
    damage(content)
    (tmp_path / "bench.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=message):
        read_report(tmp_path / "bench.json")


def test_the_loss_of_a_sure_model_may_be_rounded_below_zero(
    report: BenchReport, tmp_path: Path
) -> None:
    content = report.to_json()
    content["models"][0]["loss"] = -1e-8
    (tmp_path / "bench.json").write_text(json.dumps(content))
    assert read_report(tmp_path / "bench.json").models[0].loss == -1e-8
