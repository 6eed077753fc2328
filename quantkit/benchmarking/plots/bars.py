"""One bar, or one interval, per model."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from quantkit.benchmarking.comparison import paired_difference
from quantkit.benchmarking.schema import BenchReport, LatencyRow, ModelResult
from quantkit.report.formatting import Interval, shortened, signed, significant
from quantkit.report.plotting import (
    GRID,
    INK,
    LONGEST_NAME,
    MUTED,
    Plot,
    model_colour,
    new_figure,
    to_svg,
)

# The latency axis ends at this multiple of the slowest median; else a single outlier would compress
# all bars.
_LATENCY_REACH = 2.0


def loss_plot(report: BenchReport) -> Plot:
    """CTC loss, or cross entropy of the keyword, by model."""
    values = [model.loss or 0.0 for model in report.models]
    texts = ["not known" if m.loss is None else f"{m.loss:.3f}" for m in report.models]
    svg = _bars(report, "loss", "Loss by model", values, texts)
    kind = "Cross entropy in nats" if report.counted.one_per_clip else "CTC loss in nats per label"
    return Plot("Loss", f"{kind}; lower is better.", svg)


def size_plot(report: BenchReport) -> Plot:
    """File size by model."""
    values = [model.size_bytes / 1e6 for model in report.models]
    texts = [significant(value) for value in values]
    svg = _bars(report, "size", "File size by model", values, texts)
    return Plot("Size", "MB on disk (1 MB = 1,000,000 bytes).", svg)


def levenshtein_plot(report: BenchReport) -> Plot:
    """Mean edit distance by model, with its interval."""
    values = [model.levenshtein or 0.0 for model in report.models]
    texts = [f"{value:.2f}" for value in values]
    intervals = [model.levenshtein_ci for model in report.models]
    description = "Mean Levenshtein distance by model"
    if report.counted.one_per_clip:
        return Plot(
            "Wrong keywords",
            "Share of clips with a wrong keyword, with 95 % interval.",
            _bars(report, "levenshtein", "Share of wrong keywords", values, texts, intervals),
        )
    return Plot(
        "Levenshtein distance",
        f"Mean {report.unit} edited per utterance, with 95 % interval over utterances.",
        _bars(report, "levenshtein", description, values, texts, intervals),
    )


def change_plot(report: BenchReport) -> Plot:
    """Paired change of the edit distance from the first model, with its interval."""
    first = report.models[0]
    figure, axes = new_figure(_height(report))
    axes.axvline(0, color=MUTED, linewidth=1.2)
    reach = 0.02 * (first.levenshtein or 1.0)
    for i, model in enumerate(report.models):
        difference = paired_difference(model, first, report.seed)
        if i == 0 or difference is None:
            continue
        mean, (low, high) = difference
        axes.plot([low, high], [i, i], color=model_colour(i), linewidth=2.4)
        axes.plot([mean], [i], "o", color=model_colour(i), markersize=8)
        axes.annotate(
            signed(mean),
            (high, i),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
        reach = max(reach, abs(low), abs(high))
    axes.set_xlim(-1.1 * reach, 1.35 * reach)
    _name_rows(axes, report)
    axes.set_ylim(len(report.models) - 0.5, 0.5)
    axes.set_yticks(range(1, len(report.models)))
    return Plot(
        f"Change against {shortened(first.name, LONGEST_NAME)}",
        "Change of the mean Levenshtein distance, paired by utterance, with 95 % interval. "
        "Left of zero is better; an interval that contains zero shows no difference.",
        to_svg(figure, "change", "Change of the Levenshtein distance against the first model"),
    )


def latency_plot(report: BenchReport) -> Plot:
    """Latency of the smallest batch: a bar per number of threads, a whisker up to p95."""
    table = [_smallest_batch(model) for model in report.models]
    threads = [row.threads for row in table[0]]
    figure, axes = new_figure(latency_height(report))
    slot = 0.8 / len(threads)
    end = min(
        max(row.p95 for rows in table for row in rows),
        _LATENCY_REACH * max(row.p50 for rows in table for row in rows),
    )
    for i, rows in enumerate(table):
        for j, row in enumerate(rows):
            y = i + (j - (len(threads) - 1) / 2) * slot
            axes.barh(
                y, row.p50, height=slot * 0.84, color=model_colour(i), alpha=0.5 if j else 1.0
            )
            whisker = min(row.p95, end)
            axes.plot([row.p50, whisker], [y, y], color=MUTED, linewidth=1.2)
            axes.plot([whisker] * 2, [y - slot / 4, y + slot / 4], color=MUTED, linewidth=1.2)
            label = significant(row.p50)
            label += f" · {row.threads} threads" if row.threads > 1 else ""
            label += f" · p95 {significant(row.p95)}" if row.p95 > end else ""
            axes.text(whisker + 0.015 * end, y, label, va="center", color=INK, fontsize=9)
    axes.set_xlim(0, end * (1.6 if max(threads) > 1 else 1.2))
    _name_rows(axes, report)
    return Plot(
        "Latency",
        f"Milliseconds per run at batch size {table[0][0].batch_size}: bar p50, whisker p95; a "
        f"clip of {report.latency_clip_seconds:.1f} s, models interleaved.",
        to_svg(figure, "latency", "Latency by model and number of threads"),
    )


def latency_height(report: BenchReport) -> float:
    """Height of the latency plot in inches."""
    threads = len(_smallest_batch(report.models[0]))
    return max(2.6, 0.7 + (0.16 + 0.21 * threads) * len(report.models))


def _bars(
    report: BenchReport,
    name: str,
    description: str,
    values: Sequence[float],
    texts: Sequence[str],
    intervals: Sequence[Interval | None] = (),
) -> str:
    """Horizontal bars, one per model, the first on top."""
    figure, axes = new_figure(_height(report))
    positions = range(len(values))
    axes.barh(positions, values, color=[model_colour(i) for i in positions], height=0.66)
    reach = list(values)
    for i, interval in enumerate(intervals):
        if interval is not None:
            axes.plot(interval, [i, i], color=INK, linewidth=1.4, solid_capstyle="butt")
            for end in interval:
                axes.plot([end, end], [i - 0.14, i + 0.14], color=INK, linewidth=1.4)
            reach[i] = max(reach[i], interval[1])
    top = max(reach) or 1.0
    for i, text in enumerate(texts):
        axes.text(reach[i] + 0.015 * top, i, text, va="center", color=INK)
    axes.set_xlim(0, top * 1.17)
    _name_rows(axes, report)
    return to_svg(figure, name, description)


def _height(report: BenchReport) -> float:
    return 0.7 + 0.36 * max(2, len(report.models))


def _name_rows(axes: Axes, report: BenchReport) -> None:
    """Model names down the left, the first on top; only vertical grid lines."""
    names = [shortened(model.name, LONGEST_NAME) for model in report.models]
    # A dollar sign in a name begins no formula.
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(False, axis="y")
    axes.grid(True, axis="x", color=GRID)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(report.models) - 0.5, -0.5)


def _smallest_batch(model: ModelResult) -> list[LatencyRow]:
    smallest = min(row.batch_size for row in model.latency_ms)
    return [row for row in model.latency_ms if row.batch_size == smallest]
