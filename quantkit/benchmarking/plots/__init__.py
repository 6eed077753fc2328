"""The plots of a bench report, as inline SVG. Each module draws one kind."""

from __future__ import annotations

from quantkit.benchmarking.plots.bars import (
    change_plot,
    latency_plot,
    levenshtein_plot,
    loss_plot,
    size_plot,
)
from quantkit.benchmarking.plots.batches import levenshtein_by_batch_plot, time_by_batch_plot
from quantkit.benchmarking.plots.pareto import pareto_plot
from quantkit.benchmarking.plots.utterances import histogram_plot, length_plot
from quantkit.benchmarking.schema import BenchReport
from quantkit.report.plotting import Plot, style

__all__ = ["Plot", "plots_of"]


def plots_of(report: BenchReport) -> list[Plot]:
    """Every plot that the report has figures for, in reading order."""
    first = report.models[0]
    several_models = len(report.models) > 1
    with style():
        made = []
        # Models that write their text tell no loss.
        if report.scored and any(model.loss is not None for model in report.models):
            made.append(loss_plot(report))
        if report.scored:
            made.append(levenshtein_plot(report))
        if report.scored and several_models:
            made.append(change_plot(report))
        made.append(size_plot(report))
        if report.scored and several_models:
            made.append(pareto_plot(report))
        if report.scored and len(first.batches) > 1:
            made.append(levenshtein_by_batch_plot(report))
        made.append(latency_plot(report))
        if len({row.batch_size for row in first.latency_ms}) > 1:
            made.append(time_by_batch_plot(report))
        # A keyword is right or wrong, so its distances have no distribution.
        if report.scored and not report.counted.one_per_clip:
            made += [histogram_plot(report), length_plot(report)]
    return made
