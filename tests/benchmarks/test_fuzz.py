"""The damaged and odd inputs of ``benchmarks.fuzz``: some of each kind, and their watch."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest

from benchmarks.fuzz.__main__ import jobs_of, prepared, section, summary
from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, attempt, command
from benchmarks.fuzz.json_damage import changed_json, disagreement, same_json
from benchmarks.fuzz.kinds import KINDS
from benchmarks.fuzz.pool import run_jobs
from benchmarks.fuzz.worker import run_case
from quantkit.errors import InputError
from tests.once import made_once

DOCUMENT = json.dumps({"schema": "x/1", "layers": [{"name": "a", "bits": 4}], "share": 0.5})
#: Kinds whose inputs are made in no time.
LIGHT = ("audio", "labels", "corpora")


def failures(reports: list[tuple[str, str]]) -> list[str]:
    return [reason for outcome, reason in reports if outcome == "failed"]


@pytest.mark.parametrize("name", LIGHT)
def test_the_first_cases_of_the_light_kinds(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    kind.prepare(tmp_path / "seeds")
    found = [run_case(kind, n, 0, tmp_path / "seeds", tmp_path / str(n)) for n in range(12)]
    assert failures(found) == []
    assert {outcome for outcome, _ in found} == {"refused", "right"}


@pytest.mark.slow
def test_some_cases_of_every_kind_under_watch(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    seeds = made_once(tmp_path_factory, "fuzz", lambda folder: prepared([*KINDS], folder / "seeds"))
    keep = tmp_path / "kept"
    keep.mkdir()
    jobs = jobs_of(300, [*KINDS])
    reports = list(run_jobs(jobs, 0, seeds / "seeds", tmp_path.resolve(), keep, workers=1))
    assert Counter(r.kind for r in reports) == Counter(name for name, _ in jobs)
    assert [report for report in reports if report.outcome == "failed"] == []
    assert not any(keep.iterdir())


def test_a_case_is_the_same_each_time(tmp_path: Path) -> None:
    class Drawing:
        name, share = "drawing", 1
        drawn: ClassVar[list[float]] = []

        def prepare(self, seeds: Path) -> None:
            raise NotImplementedError

        def run(self, case: Case) -> Answer:
            self.drawn.append(case.random.random())
            return "right"

    kind = Drawing()
    for folder, number in (("a", 7), ("b", 7), ("c", 8)):
        run_case(kind, number, 0, tmp_path, tmp_path / folder)
    first, again, other = kind.drawn
    assert first == again != other


def test_every_kind_has_its_share() -> None:
    counts = Counter(name for name, _ in jobs_of(20_000, [*KINDS]))
    assert counts.total() == 20_000
    assert counts.keys() == KINDS.keys()
    assert min(counts.values()) > 200
    assert jobs_of(3, ["audio"]) == [("audio", 0), ("audio", 1), ("audio", 2)]


def test_errors_of_ours_are_answers_and_others_are_not() -> None:
    def refuse(message: str) -> None:
        raise InputError(message)

    with pytest.raises(Refused, match="too short"):
        attempt(lambda: refuse("too short"))
    with pytest.raises(WrongResult):
        attempt(lambda: refuse(""))
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 / 0)


def test_exit_codes_of_commands_are_answers() -> None:
    assert "quantkit" in command("--version").output
    with pytest.raises(Refused, match=r"missing\.onnx: No such file"):
        command("inspect", "missing.onnx")
    with pytest.raises(WrongResult, match="exit code 2"):
        command("inspect", "missing.onnx", may_fail=False)


def test_documents_are_changed_or_spelled_otherwise() -> None:
    changed = {changed_json(DOCUMENT, Random(n)) for n in range(50)}
    assert len(changed) > 40
    for number in range(20):
        spelled = same_json(DOCUMENT, Random(number))
        assert json.loads(spelled) == json.loads(DOCUMENT)


def test_a_value_that_is_read_as_another_is_found() -> None:
    said = json.loads(DOCUMENT)
    assert disagreement(said, said | {"more": 1}) == ""
    assert disagreement(said | {"share": None}, said) == ""
    assert "layers[0].bits is 8" in disagreement(said, said | {"layers": [{"bits": 8}]})
    assert "share is True" in disagreement(said | {"share": 1}, said | {"share": True})


class TestWatch:
    """Each of these is a case that fails, run by a process of its own."""

    @pytest.mark.slow
    def test_what_a_case_may_not_do_is_noted(self, tmp_path: Path) -> None:
        script = Path(__file__).with_name("fuzz_misdeeds.py")
        # pytest's own ``pythonpath`` does not reach a child process.
        there = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = os.spawnve(
            os.P_WAIT, sys.executable, [sys.executable, str(script), str(tmp_path)], there
        )
        assert done == 0
        found = json.loads((tmp_path / "reports.json").read_text())
        assert "socket" in found["connect"]
        assert "open" in found["write outside"]
        assert "secret.txt" in found["read a secret"]
        assert "left" in found["leave a file"]
        assert "a library printed: hello" in found["print"]
        assert "took" in found["take memory"]
        assert "ZeroDivisionError" in found["raise"]
        assert found["behave"] == ""


def test_the_table_counts_by_kind() -> None:
    from benchmarks.fuzz.worker import Report

    reports = [
        Report("audio", 0, "right", seconds=0.5),
        Report("audio", 1, "failed", seconds=2.25),
        Report("labels", 0, "refused", seconds=1.0),
    ]
    assert summary(reports) == [
        ["audio", "2", "0", "1", "1", "3", "2.2"],
        ["labels", "1", "1", "0", "0", "1", "1.0"],
        ["all", "3", "1", "1", "1", "4", "2.2"],
    ]


def test_the_section_says_how_it_was_made_and_what_its_words_mean() -> None:
    text = section(300, 7, 2.4, 2, "| kind |")
    assert text.startswith("## Damaged and odd inputs\n")
    assert "`python -m benchmarks.fuzz --cases 300 --seed 7`: 2 minutes with 2\nprocesses." in text
    assert "than 20 s of processor time, more than 1 GB" in text
    assert text.endswith("| kind |")
