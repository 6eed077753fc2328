"""``quantkit fleet`` from a shell's point of view."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.shell import run
from tests.fleets.small import arguments, write_model, write_users


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_model(tmp_path)
    write_users(tmp_path, ["ann"])
    return tmp_path


def words(place: Path, *more: object) -> list[str]:
    return arguments(place / "users.tsv", place / "float32.onnx", place / "out", *more)


@pytest.mark.slow
def test_a_user_without_a_file_is_exit_code_1_and_the_others_have_theirs(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (place / "users.tsv").open("a") as stream:
        stream.write("ben\taudio/ben\n")
    assert run(*words(place, "--json", "--max-divergence", 1)) == 1
    shown, errors = capsys.readouterr()
    found = json.loads(shown)
    assert {job["user"]: job["status"] for job in found["jobs"]} == {"ann": "made", "ben": "failed"}
    assert {job["user"]: job["gate"] for job in found["jobs"]} == {"ann": "pass", "ben": None}
    assert "does not exist" in errors
    assert run(*words(place, "--only", "ann")) == 0
    assert "0 artifacts made, 1 kept, 0 missing" in capsys.readouterr().out
    assert run(*words(place, "--only", "ann", "--max-divergence", 0)) == 1
    assert "is above 0" in capsys.readouterr().out


@pytest.mark.slow
def test_a_dry_run_lists_the_jobs_and_writes_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words(place, "--budgets", "30kB,40kB", "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert "ann, 30kB: make " in shown
    assert "ann, 40kB: make " in shown
    assert not (place / "out").exists()


def test_bad_input_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words(place, "--budgets", "30kB,much")) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert run(*words(place, "--worker-memory", "much")) == 2
    assert run("fleet", place / "none.tsv", "--model", place / "float32.onnx", "-o", "x") == 2
    (place / "out").write_text("a file")
    capsys.readouterr()
    assert run(*words(place)) == 2
    assert "it is a file" in capsys.readouterr().err
