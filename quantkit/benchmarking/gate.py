"""Decide whether a model is worse than its baseline by more than its tolerance and noise.

Edit distance, and other means over clips (:mod:`quantkit.benchmarking.series`)
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

Slices
    Each slice by itself, with its own tolerance, corrected for all slices of all models:
    :mod:`quantkit.benchmarking.slice_gate`.

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
from collections.abc import Sequence
from dataclasses import replace

from quantkit.benchmarking.baseline import Baseline
from quantkit.benchmarking.figures import Figures, Host, ModelFigures
from quantkit.benchmarking.gate_result import KNOWN, Check, GateResult, Verdict
from quantkit.benchmarking.held import GateOptions, Held
from quantkit.benchmarking.series import IN_WORDS, OF_CLIPS, ClipSeries
from quantkit.benchmarking.slice_gate import slice_checks
from quantkit.errors import FormatError, InputError
from quantkit.text.distances import bootstrap_interval


def compare(current: Figures, baseline: Baseline, options: GateOptions | None = None) -> GateResult:
    """Compare a bench run with a baseline; see :func:`compare_runs`."""
    return compare_runs([Held(current, baseline)], options)


def compare_runs(runs: Sequence[Held], options: GateOptions | None = None) -> GateResult:
    """Compare bench runs, each over a corpus of its own, with what they are held to.

    Raises:
        FormatError: two cannot be compared: other utterances, another normalisation or decoder,
            another model as the reference for speed-ups, or a model of the baseline was not
            measured.
        InputError: clips are to be divided by what none of them has, or an unknown model is named.
    """
    options = options or GateOptions()
    _require_models(runs, options.only)
    runs = [run.with_tolerances(options) for run in runs]
    checks: list[Check] = []
    ungated: dict[str, None] = {}
    several = len(runs) > 1
    for run in runs:
        found, unknown = _overall(run, options)
        corpus = run.current.corpus.label if several else ""
        checks += [replace(check, corpus=corpus) for check in found]
        ungated |= dict.fromkeys(unknown)
    sliced = slice_checks(runs, options)
    return GateResult(
        checks=(*checks, *sliced),
        ungated=tuple(ungated),
        corpus=", ".join(run.current.corpus.label for run in runs),
        utterances=sum(run.current.corpus.utterances for run in runs),
        against=runs[0].reference,
        false_alarms=options.false_alarms if sliced else None,
    )


def _overall(run: Held, options: GateOptions) -> tuple[list[Check], list[str]]:
    """The checks over all clips, and the models that there are no figures for."""
    current, accepted = run.current, run.baseline.figures
    if not run.reference:
        _require_same_run(current, accepted)
    checks: list[Check] = []
    reference = accepted.models[0].name
    for old, new in run.checked(options):
        series = ClipSeries(current, run.pair(old, new))
        for criterion in run.criteria(options):
            if criterion in OF_CLIPS:
                checks.append(_judge_mean(criterion, series, run))
            elif criterion == "size_bytes":
                checks.append(_judge_size(new, old, run.baseline))
            elif run.reference or old.name != reference:
                checks.append(_judge_speed(new, old, run.baseline, current.host, accepted.host))
    known = {model.name for model in accepted.models}
    unknown = [
        model.name
        for model in current.models
        if model.name not in known and (not options.only or model.name in options.only)
    ]
    if options.strict:
        checks += [
            Check(name, KNOWN, "failed", 0.0, 0.0, 0.0, "the baseline does not know this model")
            for name in unknown
        ]
    return checks, unknown


def _require_models(runs: Sequence[Held], only: Sequence[str]) -> None:
    known = {model.name: None for run in runs for model in run.current.models}
    for name in only:
        if name not in known:
            raise InputError(f"no bench run has a model {name!r}; --only takes {', '.join(known)}")


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
    if new.added != old.added:
        raise FormatError(
            f"the clips of the bench run were heard with {new.added or 'nothing'} added, those of "
            f"the baseline with {old.added or 'nothing'}; {renew}"
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
        if model.distances.keys() != current.models[0].distances.keys() or (
            model.texts and model.texts.keys() != current.models[0].texts.keys()
        ):
            raise FormatError(
                f"the baseline's distances of {model.name!r} are not those of its corpus; "
                "it was edited by hand: renew it with --update"
            )


def _difference(current: Figures, accepted: Figures) -> str:
    new = current.models[0].distances.keys() or current.models[0].texts.keys()
    old = accepted.models[0].distances.keys() or accepted.models[0].texts.keys()
    if missing := sorted(old - new):
        return f"{len(missing)} are missing, such as {missing[0]!r}"
    if extra := sorted(new - old):
        return f"{len(extra)} are new, such as {extra[0]!r}"
    return "the ids are the same but transcripts differ"


def _judge_mean(criterion: str, clips: ClipSeries, run: Held) -> Check:
    old = clips.pair.old
    tolerance = run.baseline.tolerance(old.name, criterion)
    series = clips.series(criterion)
    if isinstance(series, str):
        return Check(old.name, criterion, "skipped", 0.0, 0.0, 0.0, series)
    excess = series.excess(tolerance)
    low, high = bootstrap_interval(excess, confidence=0.95)
    before, after = series.levels
    limit = before + tolerance.of(before)
    # Of a share, the excess is one too.
    scale = len(excess) / max(float(series.weights.sum()), 1e-300)
    mean = float(excess.mean())
    interval = f"[{low * scale:+.3f}, {high * scale:+.3f}]"
    verdict: Verdict = "passed"
    if mean > 0 and low > 0:
        verdict = "failed"
        detail = (
            f"{before:.3f} → {after:.3f} {IN_WORDS[criterion]}; "
            f"{mean * scale:+.3f} {interval} above the limit {limit:.3f}"
        )
        if run.baseline.figures.host.vnni and not run.current.host.vnni:
            detail += " (this host lacks VNNI, where 8-bit sums can saturate)"
    elif mean > 0:
        detail = f"above the limit {limit:.3f}, but within noise: {mean * scale:+.3f} {interval}"
    elif not run.reference and after < before - tolerance.of(before):
        detail = f"better by {before - after:.3f}; consider --update"
    else:
        detail = f"limit {limit:.3f}"
    return Check(old.name, criterion, verdict, before, after, limit, detail)


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
