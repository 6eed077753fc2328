"""Did a model get worse than its baseline?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.api.begin import Begin, nothing
from quantkit.api.inputs import PathLike, optional_path, path_of
from quantkit.benchmarking import gate_report
from quantkit.benchmarking.baseline import Baseline, read_baseline, write_baseline
from quantkit.benchmarking.figures import Figures, figures_of, read_figures
from quantkit.benchmarking.gate import GateResult, compare
from quantkit.benchmarking.schema import BenchReport
from quantkit.disk.files import refuse_overwriting
from quantkit.errors import FormatError


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
    bench: PathLike | BenchReport,
    baseline: PathLike,
    *,
    junit: PathLike | None = None,
    summary: PathLike | None = None,
    normalization: str = "",
    begin: Begin = nothing,
) -> GateResult:
    """Hold a bench run against a baseline, with regard to noise.

    >>> import quantkit
    >>> result = quantkit.gate("report/bench.json", "baseline.json")  # doctest: +SKIP
    >>> result.passed  # doctest: +SKIP
    True

    Args:
        bench: a ``bench.json``, or what :func:`quantkit.bench` returned.
        baseline: the ``baseline.json`` that :func:`update_baseline` wrote.
        junit: an XML file with one test case per check to write, for a CI viewer.
        summary: a Markdown table to write, for a pull request.
        normalization: that the bench run must have compared texts under; empty: the baseline's.
        begin: see :data:`~quantkit.api.begin.Begin`.

    Returns:
        the checks; ``require()`` raises :class:`~quantkit.errors.GateFailed` where one failed.

    Raises:
        FormatError: a file is unreadable, or the two cannot be compared.
        InputError: a result would replace an input.
        OutputError: a result cannot be written.
    """
    accepted = path_of(baseline, "the baseline")
    reports = optional_path(junit, "junit"), optional_path(summary, "summary")
    inputs = [accepted, *([] if isinstance(bench, BenchReport) else [path_of(bench, "bench")])]
    for report in filter(None, reports):
        refuse_overwriting(report, inputs)
    figures, before = _figures(bench), read_baseline(accepted)
    if normalization and figures.normalization != normalization:
        raise FormatError(
            f"{_named(bench)} compared texts under the normalization "
            f"{figures.normalization or 'of its task'!r}, not {normalization!r}; run `quantkit "
            f"bench` with --normalize {normalization}"
        )
    begin(f"hold {len(figures.models)} models of {_named(bench)} against {accepted}")
    result = compare(figures, before)
    if reports[0] is not None:
        gate_report.write_junit(result, reports[0])
    if reports[1] is not None:
        gate_report.write_markdown(result, reports[1])
    return result


def update_baseline(
    bench: PathLike | BenchReport, baseline: PathLike, *, begin: Begin = nothing
) -> BaselineUpdate:
    """Accept a bench run: renew the figures of a baseline, and keep its tolerances.

    Args:
        bench: a ``bench.json``, or what :func:`quantkit.bench` returned.
        baseline: the ``baseline.json`` to write; it need not be there.
        begin: see :data:`~quantkit.api.begin.Begin`.

    Raises:
        FormatError: a file is unreadable, or ``bench`` has no transcripts.
        OutputError: the baseline cannot be written.
    """
    path = path_of(baseline, "the baseline")
    figures = _figures(bench)
    begin(f"accept {len(figures.models)} models of {_named(bench)} as {path}")
    earlier = read_baseline(path) if path.exists() else Baseline(figures)
    write_baseline(earlier.renewed(figures), path)
    models = tuple(model.name for model in figures.models)
    return BaselineUpdate(path, models, tuple(earlier.dropped(figures)))


def _figures(bench: PathLike | BenchReport) -> Figures:
    if isinstance(bench, BenchReport):
        return figures_of(bench.to_json(), "the bench report")
    return read_figures(path_of(bench, "bench"))


def _named(bench: PathLike | BenchReport) -> str:
    return "the bench report" if isinstance(bench, BenchReport) else str(bench)
