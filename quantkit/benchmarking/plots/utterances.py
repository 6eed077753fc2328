"""Results of single utterances: one panel per model, on common axes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quantkit.benchmarking.schema import BenchReport, ModelResult
from quantkit.report.formatting import shortened
from quantkit.report.plotting import GRID, INK, LONGEST_NAME, MUTED, Plot, model_colour, to_svg

_PAGE_WIDTH = 11.2
_COLUMNS = 3
_BINS = 24

# Most points of a scatter plot; more are sampled, to limit the size of the page.
_MAX_POINTS = 600


def histogram_plot(report: BenchReport) -> Plot:
    """Distribution of the edit distance."""
    distances = [[u.distance for u in model.utterances] for model in report.models]
    highest = max(max(values) for values in distances)
    step = max(1, math.ceil((highest + 1) / _BINS))
    edges = np.arange(0, highest + step + 1, step) - 0.5
    first = np.histogram(distances[0], edges)[0]

    def draw(axes: Axes, index: int) -> None:
        counts = np.histogram(distances[index], edges)[0]
        axes.bar(edges[:-1] + step / 2, counts, width=step * 0.88, color=model_colour(index))
        if index:
            axes.stairs(first, edges, color=INK, linewidth=1.1)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))

    figure = _panels(report.models, draw, "edits per utterance", "utterances")
    outline = f" The outline is {report.models[0].name}." if len(report.models) > 1 else ""
    return Plot(
        "Edit distances",
        f"Number of utterances by number of edits.{outline}",
        to_svg(figure, "histogram", "Histogram of edit distances by model"),
        wide=True,
    )


def length_plot(report: BenchReport) -> Plot:
    """Length of the reference against edit distance."""
    count = len(report.models[0].utterances)
    shown = list(range(count))
    if count > _MAX_POINTS:
        shown = random.Random(report.seed).sample(shown, _MAX_POINTS)
    longest = max(u.length for u in report.models[0].utterances)

    def draw(axes: Axes, index: int) -> None:
        utterances = report.models[index].utterances
        xs = [utterances[i].length for i in shown]
        ys = [utterances[i].distance for i in shown]
        axes.plot([0, longest], [0, longest], color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.plot(xs, ys, "o", color=model_colour(index), markersize=3.6, alpha=0.6, mew=0)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)

    figure = _panels(report.models, draw, f"{report.unit} in the reference", "edits")
    sample = f" {_MAX_POINTS} utterances drawn at random." if count > _MAX_POINTS else ""
    return Plot(
        "Length against edit distance",
        f"One point per utterance. On the dashed line, every unit is wrong.{sample}",
        to_svg(figure, "length", "Reference length against edit distance by model"),
        wide=True,
    )


def _panels(
    models: Sequence[ModelResult],
    draw: Callable[[Axes, int], None],
    x_label: str,
    y_label: str,
) -> Figure:
    columns = min(_COLUMNS, len(models))
    rows = math.ceil(len(models) / columns)
    figure = Figure(figsize=(_PAGE_WIDTH, 0.4 + 2.15 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= len(models):
            axes.set_visible(False)
            continue
        draw(axes, index)
        axes.set_title(shortened(models[index].name, LONGEST_NAME), parse_math=False)
        axes.grid(True, color=GRID)
        if index % columns == 0:
            axes.set_ylabel(y_label)
        if index + columns >= len(models):
            axes.set_xlabel(x_label)
            axes.tick_params(axis="x", labelbottom=True)
    return figure
