"""Charts of studies, as SVG files beside RESULTS.md."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quantkit.disk.files import write_text

P = TypeVar("P")

PLOTS = Path(__file__).parent / "plots"

# `Any`: matplotlib types the keys of settings differently from release to release.
_RC: Any = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": "#dddddd",
    "legend.frameon": False,
}
_COLOURS = (
    *("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#222222"),
    *("#64b5cd", "#ccb974"),
)


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Args:
        title, x_label, y_label: for people.
        lines: points by name; a point is x, y and the ends of y's interval, which may be y itself.
        logarithmic: the vertical axis.
    """

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[tuple[float, float, float, float]]]
    logarithmic: bool = False


@dataclass(frozen=True)
class Bars:
    """One pair of axes with groups of bars.

    Args:
        title, y_label: for people.
        labels: of the groups.
        bars: heights with the ends of their intervals, one for each label, by name.
    """

    title: str
    y_label: str
    labels: Sequence[str]
    bars: Mapping[str, Sequence[tuple[float, float, float]]]


@dataclass(frozen=True)
class Matrix:
    """One pair of axes with a number in each field.

    Args:
        title, x_label, y_label: for people.
        columns, rows: their names.
        values: (rows, columns).
        darkest: number from which on fields are as dark as they get; None: the largest.
    """

    title: str
    x_label: str
    y_label: str
    columns: Sequence[str]
    rows: Sequence[str]
    values: npt.NDArray[np.float64]
    darkest: float | None = None


def write_lines(name: str, panels: Sequence[Panel], folder: Path = PLOTS) -> Path:
    """Draw the panels side by side, a line and its intervals for each name, with one legend.

    The same figures give the same file.

    Args:
        name: of the file, without suffix.
    """
    names = list(dict.fromkeys(line for panel in panels for line in panel.lines))
    return _written(name, panels, lambda axes, panel: _draw(axes, panel, names), folder)


def write_bars(name: str, panels: Sequence[Bars], folder: Path = PLOTS) -> Path:
    """Draw the panels side by side, a group of bars for each label, with one legend.

    The same figures give the same file.

    Args:
        name: of the file, without suffix.
    """
    names = list(dict.fromkeys(bar for panel in panels for bar in panel.bars))
    return _written(name, panels, lambda axes, panel: _draw_bars(axes, panel, names), folder)


def write_matrices(name: str, panels: Sequence[Matrix], folder: Path = PLOTS) -> Path:
    """Draw the panels side by side, each field the darker the larger its number.

    The same figures give the same file.

    Args:
        name: of the file, without suffix.
    """
    return _written(name, panels, _draw_matrix, folder)


def _written(name: str, panels: Sequence[P], draw: Callable[[Axes, P], None], folder: Path) -> Path:
    with rc_context({**_RC, "svg.hashsalt": name}):
        figure = Figure(figsize=(5.0 * len(panels), 4.0), layout="constrained")
        for axes, panel in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            draw(axes, panel)
        legend: dict[str, Any] = {}
        for axes in figure.axes:
            drawn, labels = axes.get_legend_handles_labels()
            legend |= dict(zip(labels, drawn, strict=True))
        if legend:
            figure.legend(list(legend.values()), list(legend), loc="outside right upper")
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    path = folder / f"{name}.svg"
    write_text(path, stream.getvalue())
    return path


def _draw(axes: Axes, panel: Panel, names: Sequence[str]) -> None:
    for line, points in panel.lines.items():
        xs, ys, lows, highs = zip(*sorted(points), strict=True)
        axes.errorbar(
            xs,
            ys,
            yerr=_reach(ys, lows, highs),
            label=line,
            color=_COLOURS[names.index(line) % len(_COLOURS)],
            marker="o",
            markersize=3.5,
            linewidth=1.6,
            elinewidth=0.8,
        )
    if panel.logarithmic:
        axes.set_yscale("log")
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)


def _draw_bars(axes: Axes, panel: Bars, names: Sequence[str]) -> None:
    width = 0.8 / len(panel.bars)
    left = np.arange(len(panel.labels)) - 0.4 + width / 2
    for i, (bar, values) in enumerate(panel.bars.items()):
        heights, lows, highs = zip(*values, strict=True)
        axes.bar(
            left + i * width,
            heights,
            width,
            yerr=_reach(heights, lows, highs),
            label=bar,
            color=_COLOURS[names.index(bar) % len(_COLOURS)],
            error_kw={"elinewidth": 0.8},
        )
    axes.set_xticks(range(len(panel.labels)), panel.labels, rotation=45, ha="right")
    axes.set_title(panel.title)
    axes.set_ylabel(panel.y_label)


def _draw_matrix(axes: Axes, panel: Matrix) -> None:
    highest = float(panel.values.max()) if panel.darkest is None else panel.darkest
    axes.imshow(panel.values, cmap="Blues", vmin=0.0, vmax=highest, aspect="auto")
    axes.grid(visible=False)
    for row, values in enumerate(panel.values):
        for column, value in enumerate(values):
            colour = "white" if value > 0.6 * highest else "black"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(panel.columns)), panel.columns)
    axes.set_yticks(range(len(panel.rows)), panel.rows)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)


def _reach(
    values: Sequence[float], lows: Sequence[float], highs: Sequence[float]
) -> list[list[float]]:
    """How far an interval reaches below and above; a percentile interval need not hold the mean."""
    return [
        [max(0.0, value - low) for value, low in zip(values, lows, strict=True)],
        [max(0.0, high - value) for value, high in zip(values, highs, strict=True)],
    ]
