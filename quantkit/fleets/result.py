"""What a run of a fleet came to: a row for each user and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from quantkit.errors import InputError
from quantkit.fleets.jobs import JobOutcome, JobRecord, Status
from quantkit.report.formatting import percent, significant
from quantkit.version import __version__

FLEET_SCHEMA = "quantkit.fleet/1"

#: Whether an artifact keeps to the tolerances; None where there are none, or no artifact.
Verdict = Literal["pass", "fail"] | None


@dataclass(frozen=True)
class Tolerances:
    """How far an artifact may be from float32 on its user's clips, without transcripts.

    Args:
        divergence: in nats per frame, token or clip; None: any.
        changed: share of the words, or of what else is counted; None: any.

    Raises:
        InputError: one of them is below 0.
    """

    divergence: float | None = None
    changed: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("divergence", self.divergence), ("changed", self.changed)):
            if value is not None and not value >= 0:
                raise InputError(f"the tolerance of {name} must be 0 or more, not {value:g}")

    def broken_by(self, record: JobRecord) -> str:
        """What is beyond, in words; empty where nothing is."""
        if self.divergence is not None and (record.divergence or 0.0) > self.divergence:
            return (
                f"divergence {significant(record.divergence)} is above "
                f"{significant(self.divergence)}"
            )
        change = record.change
        if self.changed is not None and change is not None and change.share > self.changed:
            return (
                f"{percent(change.share)} % of {change.unit} changed, more than "
                f"{percent(self.changed)} %"
            )
        return ""

    def verdict(self, record: JobRecord | None) -> Verdict:
        """Of one artifact."""
        if record is None or (self.divergence is None and self.changed is None):
            return None
        return "fail" if self.broken_by(record) else "pass"


@dataclass(frozen=True)
class FleetRow:
    """One user and budget.

    Args:
        budget: as it was asked for.
        status: see :data:`~quantkit.fleets.jobs.Status`; ``open`` where the run ended before.
        gate: see :data:`Verdict`.
        reason: why there is no artifact, or why it does not pass.
    """

    user: str
    budget: str
    budget_bytes: int
    status: Status | Literal["open"]
    record: JobRecord | None = None
    gate: Verdict = None
    reason: str = ""
    attempts: int = 0

    @property
    def file(self) -> str:
        """The file to open, from the folder of the fleet; empty where there is none."""
        return self.record.files[0].name if self.record and self.record.files else ""

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {
            "file": self.file,
            "size_bytes": None if self.record is None else self.record.size_bytes,
        }


@dataclass(frozen=True)
class FleetResult:
    """All rows, users in the order of their table and budgets as they were given.

    Args:
        place: folder or URL of artifacts and tables.
        model: name of the float model.
        source_bytes: its size.
        seconds: that the run took.
        tolerances: of the gate.
        engine: that ran the jobs.
        warnings: what a person should know.
    """

    rows: tuple[FleetRow, ...]
    place: str
    model: str
    source_bytes: int
    seconds: float
    tolerances: Tolerances = Tolerances()
    engine: str = "local"
    warnings: tuple[str, ...] = ()

    @property
    def users(self) -> int:
        """How many there are."""
        return len({row.user for row in self.rows})

    @property
    def counts(self) -> Mapping[str, int]:
        """Artifacts by status, and how many do not pass the gate."""
        found = dict.fromkeys(("made", "kept", "failed", "open"), 0)
        for row in self.rows:
            found[row.status] += 1
        return found | {"over": sum(row.gate == "fail" for row in self.rows)}

    @property
    def is_complete(self) -> bool:
        """Whether every user has every artifact, and all pass."""
        counts = self.counts
        return not (counts["failed"] or counts["open"] or counts["over"])

    @property
    def size_bytes(self) -> int:
        """Of all artifacts; what users share counts once."""
        records = {row.record.job: row.record for row in self.rows if row.record is not None}
        return sum(record.size_bytes for record in records.values())

    def to_dict(self) -> dict[str, Any]:
        """The ``quantkit.fleet/1`` object, which ``fleet.json`` holds."""
        return {
            "schema": FLEET_SCHEMA,
            "quantkit": __version__,
            "place": self.place,
            "model": self.model,
            "source_bytes": self.source_bytes,
            "engine": self.engine,
            "seconds": self.seconds,
            "tolerances": asdict(self.tolerances),
            "complete": self.is_complete,
            "counts": dict(self.counts),
            "size_bytes": self.size_bytes,
            "warnings": list(self.warnings),
            "jobs": [row.to_dict() for row in self.rows],
        }


def rows_of(
    users: Sequence[str],
    budgets: Mapping[int, str],
    outcomes: Mapping[tuple[str, int], JobOutcome],
    tolerances: Tolerances,
) -> tuple[FleetRow, ...]:
    """A row for each user and budget, whatever became of it.

    Args:
        budgets: as they were asked for, by their bytes.
        outcomes: by user and bytes; of those that are missing the job is open.
    """
    rows = []
    for user in users:
        for budget_bytes, budget in budgets.items():
            outcome = outcomes.get((user, budget_bytes))
            if outcome is None:
                reason = "the run ended before its turn"
                rows.append(FleetRow(user, budget, budget_bytes, "open", reason=reason))
                continue
            record = outcome.record
            over = tolerances.broken_by(record) if record is not None else ""
            rows.append(
                FleetRow(
                    user,
                    budget,
                    budget_bytes,
                    outcome.status,
                    record,
                    tolerances.verdict(record),
                    outcome.reason or over,
                    outcome.attempts,
                )
            )
    return tuple(rows)
