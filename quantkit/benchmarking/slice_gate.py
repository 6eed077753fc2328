"""Hold each slice of the clips to its own tolerance, corrected for all slices together.

A slice of a model fails if it got worse by more than its tolerance, and the p-value of that,
corrected for all slices of all models and corpora of the run
(:func:`~quantkit.slices.simultaneous.adjusted_p_values`), is at most the rate of false alarms. So
where no slice got worse, the probability that any fails is at most that rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quantkit.benchmarking.baseline import ANY_SLICE, Tolerance
from quantkit.benchmarking.gate_result import Check, Verdict
from quantkit.benchmarking.held import GateOptions, Held
from quantkit.benchmarking.series import IN_WORDS, OF_CLIPS, PARTS, ClipSeries, Series
from quantkit.errors import FormatError, InputError
from quantkit.slices.by import WORDS, By, parse_by
from quantkit.slices.grouping import FEW_CLIPS, groups_of
from quantkit.slices.simultaneous import adjusted_p_values

_PARTS_IN_WORDS = "{part} words that are wrong"


@dataclass(frozen=True)
class _Slice:
    """One model on one slice, by one criterion.

    Args:
        unit: what the figures are, in words.
        by, value: of the slice.
        series: of its clips; or why there is none.
        places: of these clips, among those of all corpora.
    """

    model: str
    criterion: str
    unit: str
    by: str
    value: str
    corpus: str
    tolerance: Tolerance
    series: Series | str
    places: tuple[int, ...]

    @property
    def problem(self) -> str:
        """Why it cannot be tested; empty if it can."""
        if isinstance(self.series, str):
            return self.series
        count = len(self.series.clips)
        if count < FEW_CLIPS:
            return f"{count} clip{'s' * (count != 1)} are too few to tell; {FEW_CLIPS} are needed"
        return ""


def slice_checks(runs: Sequence[Held], options: GateOptions) -> list[Check]:
    """The checks of all slices; none where clips are not divided.

    Raises:
        InputError: clips are to be divided by what none of them has.
        FormatError: a report of before does not say what is known of its clips.
    """
    _require_known(runs, options)
    found: list[_Slice] = []
    offset = 0
    for run in runs:
        places = {clip: offset + i for i, clip in enumerate(sorted(run.current.models[0].texts))}
        offset += len(places)
        corpus = run.current.corpus.label if len(runs) > 1 else ""
        found += _slices(run, options, places, corpus)
    _require_named(found, options)
    tested = [each for each in found if not each.problem]
    columns = [
        (each.places, each.series.excess(each.tolerance))
        for each in tested
        if isinstance(each.series, Series)
    ]
    p_values = dict(zip(map(id, tested), adjusted_p_values(columns, offset), strict=True))
    return [_judged(each, p_values.get(id(each), 1.0), options.false_alarms) for each in found]


def _require_named(slices: Sequence[_Slice], options: GateOptions) -> None:
    """Refuse a tolerance that no slice has: it was meant for one."""
    names = dict.fromkeys(name for each in slices for name in (each.by, f"{each.by}:{each.value}"))
    for name in options.slice_tolerances:
        if name not in names and name != ANY_SLICE:
            known = f"one of {', '.join(names)}" if names else "a slice: name some with --by"
            raise InputError(f"no slice is called {name!r}; a tolerance is for {known}")


def _slices(
    run: Held, options: GateOptions, places: dict[str, int], corpus: str
) -> Iterator[_Slice]:
    by = _by(run, options)
    groups = groups_of(run.current.clips, by)
    criteria = [each for each in run.criteria(options) if each in OF_CLIPS]
    for old, new in run.checked(options) if by else ():
        clips = ClipSeries(run.current, run.pair(old, new))
        whole = {criterion: clips.series(criterion) for criterion in criteria}
        for group in groups:
            for criterion, series in whole.items():
                tolerance = run.baseline.slice_tolerance(old.name, criterion, group.by, group.value)
                own = series if isinstance(series, str) else series.of(group.clips)
                yield _Slice(
                    old.name,
                    criterion,
                    IN_WORDS[criterion],
                    group.by,
                    group.value,
                    corpus,
                    tolerance,
                    own,
                    _places(own, places),
                )
        for part in PARTS if By(WORDS) in by else ():
            criterion = "wer" if run.current.is_labelled else "changed"
            own = clips.part(part)
            yield _Slice(
                old.name,
                criterion,
                _PARTS_IN_WORDS.format(part=part),
                WORDS,
                part,
                corpus,
                run.baseline.slice_tolerance(old.name, criterion, WORDS, part),
                own,
                _places(own, places),
            )


def _places(series: Series | str, places: dict[str, int]) -> tuple[int, ...]:
    return () if isinstance(series, str) else tuple(places[clip] for clip in series.clips)


def _by(run: Held, options: GateOptions) -> tuple[By, ...]:
    names = run.current.by if options.by is None else options.by
    return parse_by(names) if names else ()


def _require_known(runs: Sequence[Held], options: GateOptions) -> None:
    """Refuse a property that no clip of any run has."""
    known = {WORDS}
    for run in runs:
        asked = [each.name for each in _by(run, options) if each.name != WORDS]
        if asked and not run.current.clips:
            raise FormatError(
                f"the bench run over {run.current.corpus.name!r} does not say what is known of its "
                "clips; bench it anew with this version"
            )
        known.update(*((*each.named, *each.measured) for each in run.current.clips))
    for name in (each.name for run in runs for each in _by(run, options)):
        if name not in known:
            names = ", ".join(sorted(known))
            where = ", ".join(repr(run.current.corpus.name) for run in runs)
            raise InputError(f"no clip of {where} has the property {name!r}; --by takes {names}")


def _judged(each: _Slice, p_value: float, false_alarms: float) -> Check:
    def check(verdict: Verdict, detail: str, *figures: float) -> Check:
        before, after, limit = figures or (0.0, 0.0, 0.0)
        return Check(
            each.model,
            each.criterion,
            verdict,
            before,
            after,
            limit,
            detail,
            f"{each.by}: {each.value}",
            each.corpus,
        )

    if each.problem or isinstance(each.series, str):
        return check("skipped", each.problem)
    before, after = each.series.levels
    limit = before + each.tolerance.of(before)
    figures = before, after, limit
    count = len(each.series.clips)
    p_text = f"p = {p_value:.4f}" if p_value >= 1e-4 else "p < 0.0001"
    if after > limit and p_value <= false_alarms:
        return check(
            "failed",
            f"{before:.3f} → {after:.3f} {each.unit} on {count} clips, limit {limit:.3f}; "
            f"{p_text}, corrected for all slices",
            *figures,
        )
    if after > limit:
        return check(
            "passed",
            f"above the limit {limit:.3f} on {count} clips, but within noise: {p_text}, "
            "corrected for all slices",
            *figures,
        )
    return check("passed", f"limit {limit:.3f}, {count} clips", *figures)
