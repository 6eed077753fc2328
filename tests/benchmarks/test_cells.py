"""Studies: what is done is not done again, whatever happened in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from benchmarks.cells import Study, chosen, code_digest
from quantkit.errors import InputError, ModelError


@dataclass(frozen=True)
class Cell:
    user: str
    bits: int


@dataclass(frozen=True)
class Row:
    levenshtein: float | None
    note: str = ""


CELLS = [Cell(user, bits) for user in ("ann", "bob") for bits in (2, 4)]


class Work:
    """Measures what is easily foretold, and counts how often."""

    def __init__(self, fails: str = "") -> None:
        self.done: list[Cell] = []
        self.fails = fails

    def __call__(self, cell: Cell) -> Row:
        self.done.append(cell)
        if cell.user == self.fails:
            raise ModelError(f"no model for {cell.user}")
        return Row(cell.bits / 8)


def study(folder: Path, work: Work, **changes: object) -> Study[Cell, Row]:
    return replace(Study("demo", CELLS, Row, work, {"model": "ab"}, folder), **changes)


def test_rows_come_in_the_order_of_cells_and_stand_in_one_table(tmp_path: Path) -> None:
    results = study(tmp_path, Work()).run()
    assert list(results) == CELLS
    assert (tmp_path / "demo.tsv").read_text() == (
        "user\tbits\tlevenshtein\tnote\n"
        "ann\t2\t0.25\t\nann\t4\t0.5\t\nbob\t2\t0.25\t\nbob\t4\t0.5\t\n"
    )


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    study(tmp_path, Work()).run()
    second = Work()
    more = [*CELLS, Cell("eve", 4)]
    results = study(tmp_path, second, cells=more).run()
    assert second.done == [Cell("eve", 4)]
    assert list(results) == more


@pytest.mark.parametrize(
    "changes", [{"inputs": {"model": "cd"}}, {"cells": [replace(c, bits=5) for c in CELLS[::2]]}]
)
def test_other_inputs_and_other_cells_are_measured_anew(changes, tmp_path: Path) -> None:
    study(tmp_path, Work()).run()
    second = Work()
    results = study(tmp_path, second, **changes).run()
    assert second.done == list(results) == list(study(tmp_path, second, **changes).cells)


def test_rows_with_other_columns_are_measured_anew(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Wider:
        levenshtein: float
        divergence: float

    study(tmp_path, Work()).run()
    results = study(tmp_path, lambda cell: Wider(1.0, 2.0), row=Wider).run()
    assert set(results.values()) == {Wider(1.0, 2.0)}


@pytest.mark.parametrize("cut", [1, 20])
def test_half_a_line_is_no_row_and_spoils_no_other(cut, tmp_path: Path) -> None:
    study(tmp_path, Work()).run()
    path = tmp_path / "demo.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    second = Work()
    study(tmp_path, second).run()
    # Without its line feed alone the last line is still whole.
    assert second.done == ([] if cut == 1 else CELLS[-1:])
    third = Work()
    assert list(study(tmp_path, third).run()) == CELLS
    assert third.done == []


def test_only_some_cells(tmp_path: Path) -> None:
    work = Work()
    results = study(tmp_path, work).run(only=["user=a*", "bits=4"])
    assert list(results) == work.done == [Cell("ann", 4)]
    assert chosen(CELLS, ["user=ann", "user=bob", "bits=2"]) == [Cell("ann", 2), Cell("bob", 2)]
    # The others that are done stay in the table.
    assert len(study(tmp_path, Work()).run(only=["user=bob"])) == 3


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("user", "'user' is not FIELD=VALUE with a field of user, bits"),
        ("size=4", "'size=4' is not FIELD=VALUE"),
        ("bits=7", "no cell of the study has bits=7"),
    ],
)
def test_conditions_that_pick_nothing(only, message, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        study(tmp_path, Work()).run(only=[only])


def test_failed_cells_do_not_stop_the_others_and_are_tried_again(tmp_path: Path, capsys) -> None:
    work = Work(fails="ann")
    with pytest.raises(InputError, match=r"2 cells failed; the first: user=ann, bits=2: no model"):
        study(tmp_path, work).run()
    assert work.done == CELLS
    assert "[1/4, " in capsys.readouterr().err
    second = Work()
    assert list(study(tmp_path, second).run()) == CELLS
    assert second.done == CELLS[:2]


def test_rows_are_plain_values(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Row.levenshtein is no plain value: \[1\]"):
        study(tmp_path, lambda cell: Row([1])).run()


def test_code_is_an_input(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    before = code_digest(tmp_path)
    assert before == code_digest(tmp_path / "a.py")
    (tmp_path / "a.py").write_text("x = 2\n")
    assert code_digest(tmp_path) != before


SCRIPT = """
import os, sys, time
from dataclasses import dataclass
from pathlib import Path
from benchmarks.cells import Study

FOLDER = Path(sys.argv[-1])

@dataclass(frozen=True)
class Cell:
    number: int

@dataclass(frozen=True)
class Row:
    square: int

def work(cell):
    with (FOLDER / "begun").open("a") as stream:
        stream.write(f"{cell.number} {os.getpid()}\\n")
    while cell.number >= 2 and not (FOLDER / "go on").exists():
        time.sleep(0.01)
    return Row(cell.number ** 2)

if __name__ == "__main__":
    Study("killed", [Cell(i) for i in range(6)], Row, work, {}, FOLDER).run(int(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_study_goes_on(jobs, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, str(script), str(jobs), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    results = tmp_path / "killed.jsonl"

    def done() -> list[int]:
        lines = results.read_text().splitlines() if results.exists() else []
        return [json.loads(line)["cell"]["number"] for line in lines]

    def begun() -> list[list[str]]:
        return [line.split() for line in (tmp_path / "begun").read_text().splitlines()]

    # The next cells wait until they may go on: the study is killed with so many cells begun.
    wait_until(lambda: len(done()) == 2 and len(begun()) == 2 + jobs)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = done()
    assert sorted(kept) == [0, 1]
    # Workers end with the study, and what they were at is not kept.
    wait_until(lambda: not any(alive(int(pid)) for _, pid in begun()))
    assert done() == kept
    first = [int(number) for number, _ in begun()]
    assert sorted(first) == list(range(2 + jobs))
    (tmp_path / "go on").touch()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    again = [int(number) for number, _ in begun()][len(first) :]
    assert sorted(again) == sorted(set(range(6)) - set(kept))
    assert (tmp_path / "killed.tsv").read_text() == "number\tsquare\n" + "".join(
        f"{i}\t{i * i}\n" for i in range(6)
    )


def wait_until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
