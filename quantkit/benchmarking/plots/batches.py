"""One line per model over batch sizes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from quantkit.benchmarking.plots.bars import latency_height
from quantkit.benchmarking.schema import BenchReport
from quantkit.report.plotting import HEIGHT, Plot, model_colour, new_figure, to_svg

Line = Sequence[tuple[float, float]]


def levenshtein_by_batch_plot(report: BenchReport) -> Plot:
    """Mean edit distance of the same clips in batches of every size."""
    figure, axes = new_figure(HEIGHT)
    lines = [
        [(float(row.batch_size), row.levenshtein or 0.0) for row in model.batches]
        for model in report.models
    ]
    _draw(axes, lines, dodge=True)
    values = [y for line in lines for _, y in line]
    middle = (max(values) + min(values)) / 2
    # At least 4 % of the distance is shown, so that noise does not look like an effect.
    half = max(0.6 * (max(values) - min(values)), 0.02 * middle, 0.02)
    axes.set_ylim(middle - half, middle + half)
    axes.set_ylabel("Levenshtein distance")
    return Plot(
        "Levenshtein distance by batch size",
        f"Of {report.models[0].batches[0].utterances} clips. A flat line: transcripts do not "
        "depend on the other clips of the batch. The vertical axis does not start at zero.",
        to_svg(figure, "batch-levenshtein", "Levenshtein distance by batch size"),
    )


def time_by_batch_plot(report: BenchReport) -> Plot:
    """Median time per clip for every batch size, with the first number of threads."""
    figure, axes = new_figure(latency_height(report))
    threads = report.models[0].latency_ms[0].threads
    lines = [
        [
            (float(row.batch_size), row.p50 / row.batch_size)
            for row in model.latency_ms
            if row.threads == threads
        ]
        for model in report.models
    ]
    _draw(axes, lines, dodge=False)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("ms per clip")
    return Plot(
        "Time by batch size",
        f"Median milliseconds per clip of {report.latency_clip_seconds:.1f} s, "
        f"{threads} thread{'s' if threads > 1 else ''}.",
        to_svg(figure, "batch-time", "Time per clip by batch size"),
    )


def _draw(axes: Axes, lines: Sequence[Line], *, dodge: bool) -> None:
    """Lines over a logarithmic axis with a tick at every batch size."""
    axes.set_xscale("log", base=2)
    for i, line in enumerate(lines):
        # Overlapping lines are separated slightly.
        shift = 2 ** (0.07 * (i - (len(lines) - 1) / 2)) if dodge else 1.0
        xs, ys = [x * shift for x, _ in line], [y for _, y in line]
        axes.plot(xs, ys, color=model_colour(i), marker="o", alpha=0.9)
    axes.xaxis.set_major_locator(FixedLocator(sorted({x for line in lines for x, _ in line})))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("batch size")
