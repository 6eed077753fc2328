"""The README's picture, from the table of ``plan_methods`` in RESULTS.md.

``python -m benchmarks.front_picture`` draws ``plots/size-and-errors.svg`` anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.charts import PLOTS
from benchmarks.results import RESULTS
from quantkit.report.plotting import PAPER, new_figure, save_figure, style

#: Rows of the table, and what the picture calls them.
LINES = {
    "optimal, all codecs": "quantkit's plan",
    "uniform": "same bits for every layer",
    "myqasr descending, cosine": "myQASR",
}
TARGET = PLOTS / "size-and-errors.svg"

# 5.6 million weights.
_MEGABYTES_PER_BIT = 0.7
_CELL = re.compile(r"([-+][\d.]+)% \[([-+][\d.]+)%, ([-+][\d.]+)%\]")

#: Megabytes; change of the edit distance in per cent, and its interval.
Point = tuple[float, float, float, float]


def points(text: str, row: str) -> list[Point]:
    """One row of the first table of the section.

    Raises:
        click.ClickException: RESULTS.md has no such table.
    """
    section = re.search(r"<!-- begin plan-methods -->(.*?)<!-- end", text, re.DOTALL)
    lines = [] if section is None else section[1].splitlines()
    header = next((line for line in lines if line.startswith("| method |")), "")
    found = next((line for line in lines if line.startswith(f"| {row} |")), "")
    widths = [float(width) for width in re.findall(r"([\d.]+) bits", header)]
    cells = [list(map(float, cell)) for cell in _CELL.findall(found)]
    if not widths or len(widths) != len(cells):
        raise click.ClickException("RESULTS.md has no table of plan_methods: run that study first")
    return [
        (width * _MEGABYTES_PER_BIT, change, low, high)
        for width, (change, low, high) in zip(widths, cells, strict=True)
    ]


def draw(lines: Sequence[tuple[str, Sequence[Point]]], path: Path) -> None:
    """Size against errors; the vertical axis is linear up to 2 % and logarithmic above."""
    with style(PAPER):
        figure, axes = new_figure(3.4)
        for index, (name, line) in enumerate(lines):
            sizes, changes, lows, highs = zip(*line, strict=True)
            colour = PAPER.models[(1, 0, 3)[index]]
            axes.fill_between(sizes, lows, highs, color=colour, alpha=0.18, linewidth=0)
            axes.plot(sizes, changes, marker="o", color=colour, label=name)
        axes.set_yscale("symlog", linthresh=2, linscale=1.6)
        axes.set_yticks([0, 1, 2, 5, 10, 20, 50], ["0", "+1", "+2", "+5", "+10", "+20", "+50 %"])
        axes.set_ylim(-0.6, 75)
        axes.set_xlabel("file size in MB (float32: 22.4); scale logarithmic above 2 %")
        axes.set_title("Increase of the edit distance over float32; lower is better")
        axes.legend(frameon=False)
        save_figure(figure, path)


@click.command()
def main() -> None:
    """Draw the picture."""
    text = RESULTS.read_text(encoding="utf-8")
    draw([(name, points(text, row)) for row, name in LINES.items()], TARGET)
    click.echo(f"{TARGET}: drawn")


if __name__ == "__main__":
    main()
