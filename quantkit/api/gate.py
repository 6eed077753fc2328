"""Did a model get worse than its baseline?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from quantkit.api.added_sounds import AddedSounds, heard_with
from quantkit.api.begin import Begin, nothing
from quantkit.api.inputs import PathLike, optional_path, path_of
from quantkit.benchmarking import gate_report
from quantkit.benchmarking.baseline import Baseline, read_baseline, write_baseline
from quantkit.benchmarking.figures import Figures, figures_of, read_figures
from quantkit.benchmarking.gate import compare_runs
from quantkit.benchmarking.gate_result import GateResult
from quantkit.benchmarking.held import GateOptions, Held
from quantkit.benchmarking.schema import BenchReport
from quantkit.disk.files import refuse_overwriting
from quantkit.errors import FormatError, InputError
from quantkit.progress import Progress

#: A ``bench.json``, or what :func:`quantkit.bench` returned.
Bench: TypeAlias = PathLike | BenchReport


@dataclass(frozen=True)
class BaselineUpdate:
    """What :func:`update_baseline` wrote.

    Args:
        path: of the baseline.
        models: that are accepted now.
        dropped: models of the baseline before that this run did not measure.
    """

    path: Path
    models: tuple[str, ...]
    dropped: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "path": str(self.path),
            "models": list(self.models),
            "dropped": list(self.dropped),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per accepted model."""
        return [{"model": name} for name in self.models]


def gate(
    bench: Bench | Sequence[Bench],
    baseline: PathLike | Sequence[PathLike] | None = None,
    *,
    against: str = "",
    options: GateOptions | None = None,
    added: AddedSounds | None = None,
    junit: PathLike | None = None,
    summary: PathLike | None = None,
    normalization: str = "",
    begin: Begin = nothing,
    progress: Progress | None = None,
) -> GateResult:
    """Hold bench runs against baselines, or against a model of the same run, with regard to noise.

    >>> import quantkit
    >>> result = quantkit.gate("report/bench.json", "baseline.json")  # doctest: +SKIP
    >>> result.passed  # doctest: +SKIP
    True

    Args:
        bench: a ``bench.json``, or what :func:`quantkit.bench` returned; of several corpora, a list
            of them.
        baseline: the ``baseline.json`` that :func:`update_baseline` wrote, one for each run.
        against: in place of a baseline, the name of a model of each run, such as its float32 one,
            that all others are held to.
        options: criteria, tolerances and slices; None: those of the baseline.
        added: what the clips of each run are heard with once more, as runs of their own whose
            texts and divergences are held to ``against``; None: nothing.
        junit: an XML file with one test case per check to write, for a CI viewer.
        summary: a Markdown table to write, for a pull request.
        normalization: that the bench runs must have compared texts under; empty: the baseline's.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: of hearing clips with sounds; see :data:`~quantkit.progress.Progress`.

    Returns:
        the checks; ``require()`` raises :class:`~quantkit.errors.GateFailed` where one failed.

    Raises:
        FormatError: a file is unreadable, or the two cannot be compared.
        InputError: a result would replace an input, something is named that is not there, or
            sounds are to be added without a model of the same run to hold others to.
        OutputError: a result cannot be written.
    """
    if added is not None and not against:
        raise InputError(
            "sounds are added to the clips of this run only: name the model of it that others are "
            "held to (--against), or bench with the sound and hold that run to a baseline"
        )
    runs = _listed(bench)
    accepted = _baselines(baseline, len(runs), against)
    reports = optional_path(junit, "junit"), optional_path(summary, "summary")
    inputs = [*accepted, *(path_of(e, "bench") for e in runs if not isinstance(e, BenchReport))]
    for report in filter(None, reports):
        refuse_overwriting(report, inputs)
    held, figures = [], [_figures(each) for each in runs]
    for place, (run, found) in enumerate(zip(runs, figures, strict=True)):
        _require_normalization(run, found, normalization)
        held.append(
            Held.against(found, against) if against else Held(found, read_baseline(accepted[place]))
        )
    models = sum(len(found.models) for found in figures)
    names = ", ".join(map(_named, runs))
    begin(f"hold {models} models of {names} against {against or ', '.join(map(str, accepted))}")
    if added is not None:
        held += [
            replace(Held.against(again, against), of_clips=True)
            for run in figures
            for again in heard_with(run, added, progress)
        ]
    result = compare_runs(held, options)
    if reports[0] is not None:
        gate_report.write_junit(result, reports[0])
    if reports[1] is not None:
        gate_report.write_markdown(result, reports[1])
    return result


def update_baseline(bench: Bench, baseline: PathLike, *, begin: Begin = nothing) -> BaselineUpdate:
    """Accept a bench run: renew the figures of a baseline, and keep its tolerances.

    Args:
        bench: a ``bench.json``, or what :func:`quantkit.bench` returned.
        baseline: the ``baseline.json`` to write; it need not be there.
        begin: see :data:`~quantkit.api.begin.Begin`.

    Raises:
        FormatError: a file is unreadable.
        OutputError: the baseline cannot be written.
    """
    path = path_of(baseline, "the baseline")
    figures = _figures(bench)
    begin(f"accept {len(figures.models)} models of {_named(bench)} as {path}")
    earlier = read_baseline(path) if path.exists() else Baseline(figures)
    write_baseline(earlier.renewed(figures), path)
    models = tuple(model.name for model in figures.models)
    return BaselineUpdate(path, models, tuple(earlier.dropped(figures)))


def _listed(bench: Bench | Sequence[Bench]) -> list[Bench]:
    if isinstance(bench, str | os.PathLike | BenchReport):
        return [bench]
    if not bench:
        raise InputError("there is no bench run to hold against anything; give at least one")
    return [*bench]


def _baselines(
    baseline: PathLike | Sequence[PathLike] | None, runs: int, against: str
) -> list[Path]:
    named: list[PathLike] = []
    if isinstance(baseline, str | os.PathLike):
        named = [baseline]
    elif baseline is not None:
        named = [*baseline]
    if bool(named) == bool(against):
        raise InputError(
            "runs are held either against baselines or against a model of the same run: give "
            "a baseline for each, or the name of a model"
        )
    if named and len(named) != runs:
        raise InputError(
            f"there are {runs} bench runs and {len(named)} baselines; give each run its own, in "
            "the same order"
        )
    return [path_of(each, "the baseline") for each in named]


def _require_normalization(bench: Bench, figures: Figures, normalization: str) -> None:
    if normalization and figures.normalization != normalization:
        raise FormatError(
            f"{_named(bench)} compared texts under the normalization "
            f"{figures.normalization or 'of its task'!r}, not {normalization!r}; run `quantkit "
            f"bench` with --normalize {normalization}"
        )


def _figures(bench: Bench) -> Figures:
    if isinstance(bench, BenchReport):
        return figures_of(bench.to_json(), "the bench report")
    return read_figures(path_of(bench, "bench"))


def _named(bench: Bench) -> str:
    return "the bench report" if isinstance(bench, BenchReport) else str(bench)
