"""The results of a fleet as tables: for programs, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from quantkit.fleets.result import FleetResult, FleetRow
from quantkit.printable import printable
from quantkit.report import formatting as f
from quantkit.report.table import Table

# Rows of a page or a terminal; the files hold all.
_SHOWN = 500

_COLUMNS: dict[str, Callable[[FleetRow], object]] = {
    "user": lambda row: row.user,
    "budget": lambda row: row.budget,
    "status": lambda row: row.status,
    "gate": lambda row: row.gate,
    "bytes": lambda row: row.record and row.record.size_bytes,
    "divergence": lambda row: row.record and _number(row.record.divergence),
    "low": lambda row: row.record and _number(row.record.low),
    "high": lambda row: row.record and _number(row.record.high),
    "changed": lambda row: row.record and row.record.change and _number(row.record.change.share),
    "unit": lambda row: row.record and row.record.change and row.record.change.unit,
    "clips": lambda row: row.record and row.record.clips,
    "seconds": lambda row: row.record and _number(row.record.seconds),
    "file": lambda row: row.file,
    "sha256": lambda row: row.record and row.record.files[0].sha256,
    "attempts": lambda row: row.attempts,
    "reason": lambda row: row.reason,
}


def to_tsv(result: FleetResult) -> str:
    """``fleet.tsv``: a line for each user and budget; what is unknown is empty."""
    lines = ["\t".join(_COLUMNS)]
    for row in result.rows:
        cells = (value(row) for value in _COLUMNS.values())
        lines.append("\t".join("" if cell is None else printable(cell) for cell in cells))
    return "\n".join(lines) + "\n"


def budget_table(result: FleetResult) -> Table:
    """A row for each budget: how many artifacts, and how good they are."""
    rows = []
    for budget in dict.fromkeys(row.budget for row in result.rows):
        mine = [row for row in result.rows if row.budget == budget]
        records = [row.record for row in mine if row.record is not None]
        sizes = [record.size_bytes for record in records]
        nats = sorted(r.divergence for r in records if r.divergence is not None)
        changed = sorted(r.change.share for r in records if r.change is not None)
        rows.append(
            (
                budget,
                f"{len(records)} of {len(mine)}",
                f.megabytes(median(sizes)) if sizes else f.MISSING,
                f.significant(median(nats)) if nats else f.MISSING,
                f.significant(nats[-1]) if nats else f.MISSING,
                f.percent(median(changed)) if changed else f.MISSING,
                f.percent(changed[-1]) if changed else f.MISSING,
                str(sum(row.gate == "fail" for row in mine)),
            )
        )
    return Table(
        "Budgets",
        (
            *("budget", "artifacts", "MB", "nats", "nats, worst"),
            *("changed %", "changed %, worst", "over"),
        ),
        tuple(rows),
        "Medians over the users, and the worst user. Divergence and changed text are those of the "
        "artifact against float32 on the user's own clips.",
    )


def failure_table(result: FleetResult) -> Table | None:
    """Who has no artifact, or one that does not pass, and why; None where all is well."""
    rows = [row for row in result.rows if row.record is None or row.gate == "fail"]
    if not rows:
        return None
    # What befell all budgets of a user alike is one line.
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        status = "over" if row.gate == "fail" else row.status
        found.setdefault((row.user, status, row.reason), []).append(row.budget)
    left = len(found) - _SHOWN
    return Table(
        "What failed",
        ("user", "budget", "status", "why"),
        tuple(
            (printable(user), ", ".join(budgets), status, printable(reason))
            for (user, status, reason), budgets in list(found.items())[:_SHOWN]
        ),
        f"And {left:,} more in fleet.tsv." if left > 0 else "",
        frozenset({0, 1, 2, 3}),
    )


def user_table(result: FleetResult) -> Table | None:
    """The artifacts, those that moved furthest from float32 first; None where there is none."""
    records = [(row, row.record) for row in result.rows if row.record is not None]
    if not records:
        return None
    records.sort(key=lambda pair: -(pair[1].divergence or 0.0))
    left = len(records) - _SHOWN
    more = f" The worst {_SHOWN}; all are in fleet.tsv." if left > 0 else ""
    return Table(
        "Artifacts",
        ("user", "budget", "MB", "nats", "95 %", "changed %", "clips", "gate", "file"),
        tuple(
            (
                printable(row.user),
                row.budget,
                f.megabytes(record.size_bytes),
                f.significant(record.divergence),
                ""
                if record.low is None or record.high is None
                else f"[{f.significant(record.low)}, {f.significant(record.high)}]",
                f.MISSING if record.change is None else f.percent(record.change.share),
                str(record.clips),
                row.gate or f.MISSING,
                row.file,
            )
            for row, record in records[:_SHOWN]
        ),
        f"From the largest divergence to the smallest.{more}",
        frozenset({0, 1, 7, 8}),
        optional=(8, 4, 6),
    )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
