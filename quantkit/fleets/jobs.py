"""A job: one artifact of one user; its record, and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from quantkit.fleets.users import FleetUser
from quantkit.json_dataclass import build
from quantkit.json_fields import Range
from quantkit.personalization.pipeline import Personalized

RECORD_SCHEMA = "quantkit.fleet-job/1"

#: ``made`` in this run, ``kept`` from an earlier one, or ``failed``.
Status = Literal["made", "kept", "failed"]

_NOT_NEGATIVE = Range(0)


@dataclass(frozen=True)
class StoredFile:
    """A file of an artifact.

    Args:
        name: from the folder of the fleet.
        bytes, sha256: of its content.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Change:
    """How much of the text is not float32's; see :class:`~quantkit.text.changes.Changed`."""

    unit: str
    changed: int
    total: int
    low: float | None = None
    high: float | None = None

    @property
    def share(self) -> float:
        """Of all units."""
        return self.changed / self.total if self.total else float(bool(self.changed))


@dataclass(frozen=True)
class JobRecord:
    """What is known of a finished artifact; all of it follows from its ingredients but the times.

    Args:
        job: its name.
        model, audio, settings: digests of the ingredients.
        budget_bytes: the largest allowed size.
        files: of the artifact, the one to open first.
        clips, seconds: of audio that was heard.
        unit: of the posteriors: frame, token or clip.
        divergence, low, high: of the artifact from float32 on these clips, in nats per unit, with
            the 95 % interval on other audio of this kind.
        change: of the text; None where there is none.
        warnings: caveats about the audio.
        work_seconds: that this artifact took beside what its user's others needed, too.
    """

    job: str
    model: str
    audio: str
    settings: str
    budget_bytes: int
    files: tuple[StoredFile, ...]
    clips: int
    seconds: float
    unit: str
    divergence: float | None = None
    low: float | None = None
    high: float | None = None
    change: Change | None = None
    warnings: tuple[str, ...] = ()
    work_seconds: float = 0.0

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """For the record's file."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: object, where: str) -> JobRecord:
        """Read what :meth:`to_json` wrote.

        Raises:
            FormatError: it is none.
        """
        limits = dict.fromkeys(("budget_bytes", "bytes", "clips", "seconds"), _NOT_NEGATIVE)
        return build(cls, content, where, limits)

    @classmethod
    def of(
        cls,
        made: Personalized,
        files: tuple[StoredFile, ...],
        *,
        job: str,
        model: str,
        audio: str,
        settings: str,
        work_seconds: float,
    ) -> JobRecord:
        """Of what :func:`~quantkit.personalization.pipeline.fit` has made."""
        summary = made.summary
        low, high = summary.measured_interval or (None, None)
        return cls(
            job=job,
            model=model,
            audio=audio,
            settings=settings,
            budget_bytes=summary.budget_bytes or 0,
            files=files,
            clips=summary.clips,
            seconds=summary.seconds,
            unit=summary.unit,
            divergence=summary.measured_divergence,
            low=low,
            high=high,
            change=_change(made),
            warnings=summary.warnings,
            work_seconds=work_seconds,
        )


@dataclass(frozen=True)
class JobOutcome:
    """What became of a job in a run.

    Args:
        user: its name.
        record: None where it failed.
        reason: why it failed, in one line.
        attempts: how often it was begun.
    """

    user: str
    budget_bytes: int
    status: Status
    record: JobRecord | None = None
    reason: str = ""
    attempts: int = 1


def failed(user: FleetUser, budget_bytes: int, reason: str, attempts: int = 1) -> JobOutcome:
    """A job that came to nothing."""
    return JobOutcome(
        user.name, budget_bytes, "failed", reason=" ".join(reason.split()), attempts=attempts
    )


def _change(made: Personalized) -> Change | None:
    changes = made.summary.changes
    if changes is None:
        return None
    first = changes.counts[0]
    low, high = first.interval or (None, None)
    return Change(first.unit, first.changed, first.total, low, high)
