"""Workers do the jobs of many users, and are replaced when they die."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from quantkit.errors import OutputError
from quantkit.fleets.engine import FleetLimits
from quantkit.fleets.jobs import JobOutcome
from quantkit.fleets.local_engine import LocalEngine
from tests.fleets.small import ENOUGH, LARGER, records, setup_of, user, write_model, write_users

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX"),
]
NAMES = ["ann", "ben"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_model(tmp_path)
    write_users(tmp_path, NAMES)
    return tmp_path


def run(
    place: Path, limits: FleetLimits, said: list[str], names: list[str] = NAMES
) -> Iterator[JobOutcome]:
    setup = setup_of(place / "float32.onnx", place / "out", ENOUGH, LARGER)
    users = [user(place, name) for name in names]
    return LocalEngine(limits).run(setup, users, said.append)


def workers() -> list[psutil.Process]:
    return psutil.Process().children()


def test_a_worker_that_is_killed_costs_only_what_it_was_making(place: Path) -> None:
    said: list[str] = []
    outcomes = []
    going = run(place, FleetLimits(1), said)
    for outcome in going:
        if not outcomes:
            before = records(place / "out")
            (worker,) = workers()
            worker.kill()
        outcomes.append(outcome)
    assert {(o.user, o.budget_bytes) for o in outcomes} == {
        (name, budget) for name in NAMES for budget in (ENOUGH, LARGER)
    }
    assert {o.status for o in outcomes} == {"made"}
    assert len(said) == 1
    assert "ended by SIGKILL" in said[0]
    assert "trying again (1 of 2)" in said[0]
    after = records(place / "out")
    assert len(after) == 4
    assert before.items() <= after.items()
    assert not workers()


def test_a_worker_beyond_its_memory_is_ended_and_says_so(place: Path) -> None:
    said: list[str] = []
    with pytest.raises(OutputError, match=r"cannot begin: its worker needed more than 20\.0 MB"):
        list(run(place, FleetLimits(1, memory_bytes=20_000_000), said))
    assert not workers()


def test_a_user_that_takes_too_long_is_given_up_and_the_next_is_begun(place: Path) -> None:
    said: list[str] = []
    limits = FleetLimits(1, seconds=0.01, retries=1)
    outcomes = list(run(place, limits, said, ["ann"]))
    assert [o.status for o in outcomes] == ["failed", "failed"]
    assert "needed more than 0.0 s, in each of 2 attempts" in outcomes[0].reason
    assert outcomes[0].attempts == 2
    assert len(said) == 1
