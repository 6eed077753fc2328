"""Whatever ends a run, the table is right, and the next run does what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from quantkit.errors import InputError
from quantkit.fleets.engine import Notify
from quantkit.fleets.jobs import JobOutcome, failed
from quantkit.fleets.result import FleetResult, Tolerances
from quantkit.fleets.run import run_fleet
from quantkit.fleets.storage.local import LocalStorage
from quantkit.fleets.users import FleetUser
from quantkit.fleets.work import FleetSetup, UserWork
from tests.fleets.small import (
    ENOUGH,
    arguments,
    command,
    records,
    setup_of,
    user,
    write_model,
    write_users,
)
from tests.pages import assert_links_lead_somewhere, assert_self_contained

NAMES = ["ann", "ben", "cem"]


class HereEngine:
    """Does the jobs in this process, and ends after so many."""

    name = "here"

    def __init__(self, end_after: int = 99, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.left, self.error = end_after, error

    def run(
        self, setup: FleetSetup, users: Sequence[FleetUser], notify: Notify
    ) -> Iterator[JobOutcome]:
        work = UserWork(setup)
        for each in users:
            if not self.left:
                raise self.error
            self.left -= 1
            yield from work.outcomes(each)


def run(place: Path, engine: object = None, **more: object) -> FleetResult:
    users = [*(user(place, name) for name in NAMES), FleetUser("dup", "x", problem="named twice")]
    return run_fleet(
        setup_of(place / "float32.onnx", place / "out"),
        users,
        {ENOUGH: "30kB"},
        engine or HereEngine(),  # type: ignore[arg-type]
        model="tiny",
        source_bytes=1_000_000,
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_model(tmp_path)
    write_users(tmp_path, NAMES)
    return tmp_path


def rows(place: Path) -> dict[str, dict[str, str]]:
    lines = (place / "out" / "fleet.tsv").read_text(encoding="utf-8").splitlines()
    header = lines[0].split("\t")
    found = (dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:])
    return {row["user"]: row for row in found}


@pytest.mark.slow
def test_tables_say_what_became_of_each_user(place: Path) -> None:
    told: list[float] = []
    result = run(place, progress=lambda _, share: told.append(share))
    assert result.counts == {"made": 3, "kept": 0, "failed": 1, "open": 0, "over": 0}
    assert not result.is_complete
    assert told[-1] == 1.0
    found = rows(place)
    assert found["dup"]["reason"] == "named twice"
    assert (place / "out" / found["ann"]["file"]).stat().st_size == int(found["ann"]["bytes"])
    document = json.loads((place / "out" / "fleet.json").read_text(encoding="utf-8"))
    assert document["schema"] == "quantkit.fleet/1"
    assert [job["status"] for job in document["jobs"]] == ["made"] * 3 + ["failed"]
    page = (place / "out" / "fleet.html").read_text(encoding="utf-8")
    assert_self_contained(page)
    assert_links_lead_somewhere(page)
    assert "named twice" in page


@pytest.mark.slow
def test_a_run_that_is_ended_says_what_is_open_and_the_next_does_that_alone(place: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(place, HereEngine(1))
    assert [row["status"] for row in rows(place).values()] == ["made", "open", "open", "failed"]
    before = records(place / "out")
    result = run(place)
    assert result.counts == {"made": 2, "kept": 1, "failed": 1, "open": 0, "over": 0}
    assert before.items() <= records(place / "out").items()


@pytest.mark.slow
def test_the_gate_fails_without_losing_the_artifact(place: Path) -> None:
    result = run(place, tolerances=Tolerances(divergence=0.0))
    assert result.counts["over"] == result.counts["made"] == 3
    assert rows(place)["ann"]["gate"] == "fail"
    assert "is above 0" in rows(place)["ann"]["reason"]
    generous = run(place, tolerances=Tolerances(divergence=1.0, changed=1.0))
    assert generous.counts["over"] == 0
    assert generous.counts["kept"] == 3


def test_a_second_run_in_the_same_folder_is_refused(place: Path) -> None:
    with (
        LocalStorage(place / "out").alone(),
        pytest.raises(InputError, match="another run is at work"),
    ):
        run(place)


class FullEngine:
    """Fails as a full disk makes jobs fail, and fills the place of a table."""

    name = "full"

    def __init__(self, spoil: Callable[[], None]) -> None:
        self.spoil = spoil

    def run(
        self, setup: FleetSetup, users: Sequence[FleetUser], notify: Notify
    ) -> Iterator[JobOutcome]:
        self.spoil()
        for each in users:
            yield failed(each, ENOUGH, "cannot write x: No space left on device")


def test_a_table_that_cannot_be_written_is_a_warning_and_the_others_are(place: Path) -> None:
    result = run(place, FullEngine(lambda: (place / "out" / "fleet.json").mkdir()))
    assert len(result.warnings) == 1
    assert "fleet.json" in result.warnings[0]
    assert rows(place)["ann"]["reason"].endswith("No space left on device")


_LIMITED = """
import resource, sys
from quantkit.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (16_000,) * 2)
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")
def test_a_killed_driver_takes_its_workers_along_and_loses_nothing(place: Path) -> None:
    words = arguments(place / "users.tsv", place / "float32.onnx", place / "out", "--workers", 1)
    driver = command(*words)
    until = time.monotonic() + 300
    while not records(place / "out") and time.monotonic() < until:
        assert driver.poll() is None, driver.communicate()
        time.sleep(0.02)
    children = psutil.Process(driver.pid).children()
    driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert children
    assert not alive
    assert not (place / "out" / "fleet.tsv").exists()
    before = records(place / "out")
    again = command(*words)
    shown, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    after = records(place / "out")
    assert len(after) == 3
    assert before.items() <= after.items()
    statuses = [row["status"] for row in rows(place).values()]
    assert statuses.count("kept") >= len(before) >= 1
    assert "0 missing" in shown


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs limits of POSIX")
def test_a_full_disk_is_a_reason_and_is_made_good_later(place: Path) -> None:
    words = arguments(place / "users.tsv", place / "float32.onnx", place / "out", "--only", "ann")
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large" in rows(place)["ann"]["reason"]
    assert not list(place.glob("out/artifacts/*/*"))
    assert run(place).counts["made"] == 3
