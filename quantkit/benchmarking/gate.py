"""Decide whether a model is worse than its baseline by more than its tolerance and noise.

Edit distance
    Both runs recognised the same utterances, so the comparison is *paired*: hard clips are hard for
    both models, and the difference varies far less than either mean. For utterance *i* with
    baseline distance ``b_i`` and new distance ``d_i``, the excess over the permitted value is ``e_i
    = d_i - b_i - (relative * b_i + absolute)``. The mean of ``e`` is positive exactly when the new
    mean exceeds the tolerated one. Its 95 % interval comes from the percentile bootstrap over
    utterances (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, §13.3; for word error
    rates Bisani & Ney, ICASSP 2004; paired for translation Koehn, EMNLP 2004). The gate fails if
    the whole interval is above zero. Utterances are resampled, not letters, because errors within
    an utterance depend on each other.

    It cannot detect damage to so few utterances that another sample of clips might not have
    contained them. Three damaged clips of many are absent from ``exp(-3)`` = 5 % of the resamples,
    so the 2.5 % bound is not above zero, however bad they are. Four are detected if they are bad
    enough.

Size
    Sizes have no noise: a file larger than the baseline plus the tolerance fails.

Speed-up
    The ratio of float latency to this model's, measured interleaved in one process, which cancels
    most of the host. ``log(new / baseline)`` gets an upper 95 % limit from the two recorded
    intervals by the MOVER rule (Zou & Donner, *Statistics in Medicine* 27, 2008): with estimates
    ``x, y`` and limits ``(l, u)``, ``upper(x - y) = x - y + sqrt((u_x - x)² + (y - l_y)²)``. The
    gate fails if even that limit is below ``log(1 - relative)``. Without recorded intervals only
    the tolerance counts. Without VNNI instructions, int8 runs through other kernels, so on a host
    without them the speed check is reported as skipped.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from quantkit.benchmarking.baseline import Baseline
from quantkit.benchmarking.figures import Figures, Host, ModelFigures
from quantkit.errors import FormatError, GateFailed
from quantkit.text.distances import bootstrap_interval

Verdict = Literal["passed", "failed", "skipped"]

GATE_SCHEMA = "quantkit.gate/1"


@dataclass(frozen=True)
class Check:
    """One model × one criterion.

    Args:
        baseline, current, limit: in the criterion's unit: edits per utterance, bytes, or a ratio.
            ``limit`` is the worst value that passes regardless of noise.
        detail: one sentence: why it failed, was skipped, or passed.
    """

    model: str
    criterion: str
    verdict: Verdict
    baseline: float
    current: float
    limit: float
    detail: str


@dataclass(frozen=True)
class GateResult:
    """All checks of one run, and the models that are not in the baseline."""

    checks: tuple[Check, ...]
    ungated: tuple[str, ...]
    corpus: str
    utterances: int

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
            reasons = "; ".join(f"{c.model} {c.criterion}: {c.detail}" for c in self.failures)
            raise GateFailed(f"{len(self.failures)} of {len(self.checks)} checks failed: {reasons}")


def compare(current: Figures, baseline: Baseline) -> GateResult:
    """Compare a bench run with a baseline.

    Raises:
        FormatError: the two cannot be compared: other utterances, another normalisation or
            decoder, another model as the reference for speed-ups, or a model of the baseline was
            not measured.
    """
    accepted = baseline.figures
    _require_same_run(current, accepted)
    checks: list[Check] = []
    reference = accepted.models[0].name
    for old in accepted.models:
        new = current.model(old.name)
        if new is None:
            measured = ", ".join(model.name for model in current.models)
            raise FormatError(
                f"the baseline gates {old.name!r}, but the bench run has only {measured}; "
                "bench it too, or renew the baseline with --update"
            )
        checks.append(_judge_distance(new, old, baseline, current.host, accepted.host))
        checks.append(_judge_size(new, old, baseline))
        if old.name != reference:
            checks.append(_judge_speed(new, old, baseline, current.host, accepted.host))
    known = {model.name for model in accepted.models}
    return GateResult(
        checks=tuple(checks),
        ungated=tuple(model.name for model in current.models if model.name not in known),
        corpus=current.corpus.name,
        utterances=current.corpus.utterances,
    )


def _require_same_run(current: Figures, accepted: Figures) -> None:
    new, old = current.corpus, accepted.corpus
    renew = "renew the baseline with --update if that is meant"
    normalizations = {current.normalization, accepted.normalization} - {""}
    if len(normalizations) > 1:
        raise FormatError(
            f"the bench run compared texts under the normalization {current.normalization!r}, the "
            f"baseline under {accepted.normalization!r}; {renew}"
        )
    if new.sha256 != old.sha256:
        raise FormatError(
            f"the bench run is over {new.name!r} with {new.utterances} utterances, the baseline "
            f"over {old.name!r} with {old.utterances}: {_difference(current, accepted)}; {renew}"
        )
    if current.decoder != accepted.decoder:
        raise FormatError(
            f"the bench run decoded with {current.decoder!r}, the baseline with "
            f"{accepted.decoder!r}; {renew}"
        )
    if current.models[0].name != accepted.models[0].name:
        raise FormatError(
            f"speed-ups of the bench run are against {current.models[0].name!r}, those of the "
            f"baseline against {accepted.models[0].name!r}; bench that model first, or {renew}"
        )
    for model in accepted.models:
        if model.distances.keys() != current.models[0].distances.keys():
            raise FormatError(
                f"the baseline's distances of {model.name!r} are not those of its corpus; "
                "it was edited by hand: renew it with --update"
            )


def _difference(current: Figures, accepted: Figures) -> str:
    new = current.models[0].distances.keys()
    old = accepted.models[0].distances.keys()
    if missing := sorted(old - new):
        return f"{len(missing)} are missing, such as {missing[0]!r}"
    if extra := sorted(new - old):
        return f"{len(extra)} are new, such as {extra[0]!r}"
    return "the ids are the same but transcripts differ"


def _judge_distance(
    new: ModelFigures, old: ModelFigures, baseline: Baseline, host: Host, old_host: Host
) -> Check:
    tolerance = baseline.tolerance(old.name, "levenshtein")
    before = np.array([old.distances[name] for name in sorted(old.distances)])
    after = np.array([new.distances[name] for name in sorted(old.distances)])
    excess = after - before - (tolerance.relative * before + tolerance.absolute)
    low, high = bootstrap_interval(excess, confidence=0.95)
    mean, limit = float(excess.mean()), old.levenshtein + tolerance.of(old.levenshtein)
    interval = f"[{low:+.3f}, {high:+.3f}]"
    verdict: Verdict = "passed"
    if mean > 0 and low > 0:
        verdict = "failed"
        detail = (
            f"{old.levenshtein:.3f} → {new.levenshtein:.3f} edits per utterance; "
            f"{mean:+.3f} {interval} above the limit {limit:.3f}"
        )
        if old_host.vnni and not host.vnni:
            detail += " (this host lacks VNNI, where 8-bit sums can saturate)"
    elif mean > 0:
        detail = f"above the limit {limit:.3f}, but within noise: {mean:+.3f} {interval}"
    elif new.levenshtein < old.levenshtein - tolerance.of(old.levenshtein):
        detail = f"better by {old.levenshtein - new.levenshtein:.3f}; consider --update"
    else:
        detail = f"limit {limit:.3f}"
    return Check(old.name, "levenshtein", verdict, old.levenshtein, new.levenshtein, limit, detail)


def _judge_size(new: ModelFigures, old: ModelFigures, baseline: Baseline) -> Check:
    limit = old.size_bytes + baseline.tolerance(old.name, "size_bytes").of(old.size_bytes)

    def check(verdict: Verdict, detail: str) -> Check:
        sizes = old.size_bytes, new.size_bytes
        return Check(old.name, "size_bytes", verdict, *sizes, limit, detail)

    change = 100.0 * (new.size_bytes / old.size_bytes - 1.0)
    if new.size_bytes > limit:
        moved = f"{old.size_bytes} → {new.size_bytes} bytes"
        return check("failed", f"{moved} ({change:+.2f} %), limit {limit:.0f}")
    return check("passed", f"{change:+.2f} %")


def _judge_speed(
    new: ModelFigures, old: ModelFigures, baseline: Baseline, host: Host, old_host: Host
) -> Check:
    limit = old.speedup - baseline.tolerance(old.name, "speedup").of(old.speedup)

    def check(verdict: Verdict, detail: str) -> Check:
        return Check(old.name, "speedup", verdict, old.speedup, new.speedup, limit, detail)

    if reason := _incomparable_speed(host, old_host):
        return check("skipped", reason)
    if limit <= 0:
        return check("passed", "the tolerance permits any speed")
    upper = new.speedup * math.exp(_upper_log_noise(new, old))
    measured = f"{old.speedup:.2f}× → {new.speedup:.2f}×"
    if upper < limit:
        return check("failed", f"{measured}; at most {upper:.2f}× with noise, limit {limit:.2f}×")
    if new.speedup < limit:
        return check("passed", f"{measured} is below {limit:.2f}×, but within noise ({upper:.2f}×)")
    return check("passed", f"limit {limit:.2f}×")


def _incomparable_speed(host: Host, old_host: Host) -> str:
    """Why speed-ups of the two hosts cannot be compared; empty if they can."""
    if host.machine and old_host.machine and host.machine != old_host.machine:
        return f"this host is {host.machine}, the baseline's is {old_host.machine}"
    if old_host.vnni and not host.vnni:
        return f"this host ({host.cpu or 'CPU unknown'}) lacks VNNI, which the baseline's has"
    return ""


def _upper_log_noise(new: ModelFigures, old: ModelFigures) -> float:
    """Upper bound of the noise in ``log(new.speedup / old.speedup)`` (MOVER)."""
    above = math.log(max(new.speedup_ci[1], new.speedup) / new.speedup) if new.speedup_ci else 0.0
    below = math.log(old.speedup / min(old.speedup_ci[0], old.speedup)) if old.speedup_ci else 0.0
    return math.hypot(above, below)
