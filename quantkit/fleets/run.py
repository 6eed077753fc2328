"""A run: hands users to an engine, gathers what becomes of them, and writes the tables."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from quantkit.errors import OutputError
from quantkit.fleets.engine import Engine, Notify
from quantkit.fleets.jobs import JobOutcome, failed
from quantkit.fleets.result import FleetResult, Tolerances, rows_of
from quantkit.fleets.storage.base import Storage
from quantkit.fleets.storage.places import open_storage
from quantkit.fleets.tables import to_tsv
from quantkit.fleets.users import FleetUser
from quantkit.fleets.work import FleetSetup
from quantkit.printable import printable
from quantkit.progress import Progress, no_progress

#: What a run writes beside artifacts and records.
TABLES = ("fleet.tsv", "fleet.json", "fleet.html")


def run_fleet(
    setup: FleetSetup,
    users: Sequence[FleetUser],
    budgets: Mapping[int, str],
    engine: Engine,
    *,
    model: str,
    source_bytes: int,
    tolerances: Tolerances | None = None,
    warnings: Sequence[str] = (),
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> FleetResult:
    """Do all jobs that are missing, and write the tables.

    A run that is ended from outside writes them, too; one that is killed leaves those of the run
    before. In both cases, the next run does what is missing.

    Args:
        budgets: as they were asked for, by their bytes.
        model, source_bytes: name and size of the float model, for the tables.
        tolerances: of the gate; None: none.
        warnings: for the page.

    Raises:
        InputError: another run is at work in the same folder.
        OutputError: the folder cannot be written, or no worker can begin. A table that cannot be
            written is a warning of the result: the artifacts are there.
    """
    tell = progress or no_progress
    notify = notify or (lambda line: None)
    tolerances = tolerances or Tolerances()
    storage = open_storage(setup.output)
    names = tuple(dict.fromkeys(user.name for user in users))
    outcomes: dict[tuple[str, int], JobOutcome] = {}
    for user in users:
        if user.problem:
            for budget in setup.budgets:
                outcomes[user.name, budget] = failed(user, budget, user.problem, attempts=0)
    begin = time.monotonic()

    def result() -> FleetResult:
        return FleetResult(
            rows_of(names, budgets, outcomes, tolerances),
            setup.output,
            model,
            source_bytes,
            time.monotonic() - begin,
            tolerances,
            engine.name,
            tuple(warnings),
        )

    with storage.alone():
        going = engine.run(setup, [user for user in users if not user.problem], notify)
        total = len(names) * len(setup.budgets)
        try:
            tell("fleet", len(outcomes) / max(1, total))
            for outcome in going:
                outcomes[outcome.user, outcome.budget_bytes] = outcome
                if outcome.status == "failed":
                    notify(f"user {printable(outcome.user)}: {outcome.reason}")
                tell("fleet", len(outcomes) / total)
        except BaseException:
            # What is done is worth a table, whatever ends the run.
            going.close()  # type: ignore[attr-defined]
            write_tables(storage, result())
            raise
        found = result()
        problems = write_tables(storage, found)
        if not found.counts["failed"] and not found.counts["open"]:
            storage.forget_work()
    return replace(found, warnings=(*found.warnings, *problems))


def write_tables(storage: Storage, result: FleetResult) -> tuple[str, ...]:
    """Write ``fleet.tsv``, ``fleet.json`` and ``fleet.html``.

    Returns:
        what could not be written, in words.
    """
    # Matplotlib, which its style comes from, is not worth a second before the work begins.
    from quantkit.fleets.page import render_page

    contents = (
        to_tsv(result),
        json.dumps(result.to_dict(), indent=1, ensure_ascii=False) + "\n",
        render_page(result),
    )
    problems = []
    for name, content in zip(TABLES, contents, strict=True):
        try:
            storage.write(name, content.encode("utf-8", "backslashreplace"))
        except OutputError as error:
            problems.append(str(error))
    return tuple(problems)
