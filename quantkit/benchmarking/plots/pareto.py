"""Size against edit distance, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from quantkit.benchmarking.comparison import pareto_front
from quantkit.benchmarking.schema import BenchReport
from quantkit.report.formatting import shortened
from quantkit.report.plotting import (
    HEIGHT,
    INK,
    LONGEST_NAME,
    MUTED,
    Plot,
    model_colour,
    new_figure,
    to_svg,
)

_FONT_SIZE = 9.5
# Sizes of a label and of the gap to its point, in points (1/72 inch).
_CHARACTER, _LINE, _GAP = 0.62 * _FONT_SIZE, 13.0, 9.0

Box = tuple[float, float, float, float]


def pareto_plot(report: BenchReport) -> Plot:
    """Models as points, the front as steps."""
    points = [(m.size_bytes / 1e6, m.levenshtein or 0.0) for m in report.models]
    figure, axes = new_figure(HEIGHT)
    logarithmic = _limits(axes, points)
    front = [points[i] for i in pareto_front(points)]
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    steps = [(front[0][0], top), *front, (right, front[-1][1])]
    axes.plot(
        [x for x, _ in steps],
        [y for _, y in steps],
        drawstyle="steps-post",
        color=MUTED,
        linewidth=1.4,
        linestyle=(0, (4, 3)),
        zorder=1,
    )
    for i, (x, y) in enumerate(points):
        axes.plot(x, y, "o", color=model_colour(i), markersize=9, zorder=3)
    axes.set_xlabel("MB on disk" + (", logarithmic" if logarithmic else ""))
    axes.set_ylabel("Levenshtein distance")
    # Labels are placed in pixels, which are known only after the layout.
    figure.canvas.draw()
    named = _label(axes, points, [shortened(m.name, LONGEST_NAME) for m in report.models])
    return Plot(
        "Size against Levenshtein distance",
        "Down and left is better. The dashed line is the Pareto front: no model is below and "
        "left of it. The vertical axis does not start at zero."
        + ("" if named else " Where there was no room for a name, the table has it."),
        to_svg(figure, "pareto", "Size against Levenshtein distance with the Pareto front"),
    )


def _limits(axes: Axes, points: Sequence[tuple[float, float]]) -> bool:
    """Set both axes; returns whether the horizontal one is logarithmic."""
    values = [value for _, value in points]
    middle = (max(values) + min(values)) / 2
    half = max(0.75 * (max(values) - min(values)), 0.02 * max(values), 0.02)
    axes.set_ylim(middle - half, middle + half)
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    if high <= 1.2 * low:
        axes.set_xlim(0.85 * low, 1.15 * high)
        return False
    low, high = low / 1.25, high * 1.25
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    return True


def _label(axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> bool:
    """Write each name at the nearest free place to its point, if there is one.

    Returns:
        whether all are written.
    """
    scale = 72.0 / axes.figure.dpi
    spots = [(float(x) * scale, float(y) * scale) for x, y in _pixels(axes, points)]
    window = axes.get_window_extent()
    frame = tuple(float(v) * scale for v in (window.x0, window.y0, window.x1, window.y1))
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in spots]
    all_named = True
    for i in sorted(range(len(points)), key=lambda i: spots[i]):
        width = _CHARACTER * len(names[i])
        free = (p for p in _places(width) if _free(_box(spots[i], p, width), frame, taken))
        if (place := next(free, None)) is None:
            all_named = False
            continue
        dx, dy = place
        taken.append(_box(spots[i], (dx, dy), width))
        axes.annotate(
            names[i],
            points[i],
            xytext=(dx, dy),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=_FONT_SIZE,
            color=INK,
            parse_math=False,
            zorder=4,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.8, "shrinkB": 5}
            if abs(dy) > _LINE
            else None,
        )
    return all_named


def _pixels(axes: Axes, points: Sequence[tuple[float, float]]) -> np.ndarray:
    return np.asarray(axes.transData.transform(np.array(points)))


def _places(width: float) -> Iterator[tuple[float, float]]:
    """Offsets of a label's left middle from its point, the nearest first."""
    for rise in (0.0, 0.8, -0.8, 1.6, -1.6, 2.6, -2.6, 3.6, -3.6, 4.6, -4.6):
        near = _GAP if abs(rise) < 1.5 else 2.5 * _GAP
        yield near, rise * _LINE
        yield -near - width, rise * _LINE


def _box(spot: tuple[float, float], place: tuple[float, float], width: float) -> Box:
    left, middle = spot[0] + place[0], spot[1] + place[1]
    return left, middle - _LINE / 2, left + width, middle + _LINE / 2


def _free(box: Box, frame: tuple[float, ...], taken: Sequence[Box]) -> bool:
    inside = box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]
    return inside and all(
        box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]
        for other in taken
    )
