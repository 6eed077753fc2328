"""What a gate finds: its checks, and what it says of them as a whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from quantkit.errors import GateFailed

Verdict = Literal["passed", "failed", "skipped"]

GATE_SCHEMA = "quantkit.gate/1"
#: The criterion of a model that has no figures to be held to.
KNOWN = "in_baseline"


@dataclass(frozen=True)
class Check:
    """One model × one criterion.

    Args:
        baseline, current, limit: in the criterion's unit: edits per utterance, bytes, a ratio, or a
            share of words. ``limit`` is the worst value that passes regardless of noise.
        detail: one sentence: why it failed, was skipped, or passed.
        slice: the clips that it is of; empty for all.
        corpus: of several in one run.
    """

    model: str
    criterion: str
    verdict: Verdict
    baseline: float
    current: float
    limit: float
    detail: str
    slice: str = ""
    corpus: str = ""

    @property
    def name(self) -> str:
        """Criterion, slice and corpus, for messages."""
        return " ".join(
            filter(None, (self.criterion, self.slice and f"[{self.slice}]", self.corpus))
        )


@dataclass(frozen=True)
class GateResult:
    """All checks of one run, and the models that are not in the baseline.

    Args:
        corpus: that was recognised; of several, their names.
        against: the model of the same run that the others were held to; empty for a baseline.
        false_alarms: the probability that any slice fails where none got worse; None without
            slices.
    """

    checks: tuple[Check, ...]
    ungated: tuple[str, ...]
    corpus: str
    utterances: int
    against: str = ""
    false_alarms: float | None = None

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.verdict == "failed")

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit gate --json``."""
        return {
            "schema": GATE_SCHEMA,
            "passed": self.passed,
            "corpus": self.corpus,
            "utterances": self.utterances,
            "against": self.against,
            "false_alarms": self.false_alarms,
            "checks": self.rows(),
            "ungated": list(self.ungated),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per check, for ``pandas.DataFrame``."""
        return [asdict(check) for check in self.checks]

    def require(self) -> None:
        """Raise if a check failed.

        Raises:
            GateFailed: the message lists the failed checks.
        """
        if self.failures:
            reasons = "; ".join(f"{c.model} {c.name}: {c.detail}" for c in self.failures)
            raise GateFailed(f"{len(self.failures)} of {len(self.checks)} checks failed: {reasons}")
