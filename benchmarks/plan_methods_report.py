"""What the study of planning methods measures, and how it is written and judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.charts import Panel, write_lines
from benchmarks.results import table
from benchmarks.scoring import change

#: By how much the edit distance of the optimal plan may grow, at an average of so many bits.
PROMISED_CHANGE: Mapping[float, float] = {4: 0.03, 3: 0.08}

#: Lines of the README's table, and what they are called there.
SHORT: Mapping[str, str] = {
    "myqasr descending, cosine, activations as weights": "myQASR, activations as weights",
    "myqasr descending, cosine": "myQASR",
    "uniform": "the same bits for all",
    "optimal": "optimal, bit planes only",
    "optimal, all codecs": "**optimal**",
}


@dataclass(frozen=True)
class Cell:
    """One plan.

    Args:
        width: average bits per weight that the budget is for.
        method: its name.
        direction: of methods that order layers; empty for others.
        codec: ``bitplane``, or ``any``.
        fitting: how numbers are found: ``ours``, or one of myQASR's calibrations.
        activations: ``8`` bits, or as many as ``weights``.
        seed: of what is drawn at random.
    """

    width: float
    method: str
    direction: str = ""
    codec: str = "bitplane"
    fitting: str = "ours"
    activations: str = "8"
    seed: int = 0

    @property
    def line(self) -> str:
        """The row of the tables that the cell stands in."""
        words = f"{self.method} {self.direction}".strip()
        if self.method == "shuffled":
            words += f" {self.seed}"
        if self.codec == "any":
            words += ", all codecs"
        if self.fitting != "ours":
            words += f", {self.fitting}"
        if self.activations == "weights":
            words += ", activations as weights"
        return words


@dataclass(frozen=True)
class Row:
    """What became of it.

    Args:
        bytes: of the file; ``budget`` is what it might take.
        levenshtein, change: means over clips with the ends of their 95 % intervals; the change is
            relative to float32, paired by clip.
        divergence: of the posteriors, in nats per frame.
        layers: codec of each layer, in graph order.
        edits: Levenshtein distance of each clip.
    """

    bytes: int
    budget: int
    levenshtein: float
    levenshtein_low: float
    levenshtein_high: float
    change: float
    change_low: float
    change_high: float
    divergence: float
    layers: str
    plan_seconds: float
    quantize_seconds: float
    edits: str


def broken_promises(results: Mapping[Cell, Row], seed: int = 0) -> list[str]:
    """Where the optimal plan is measurably worse than another of its size, or worse than said."""
    broken = []
    for cell, row in results.items():
        if cell.method != "optimal":
            continue
        for other, rival in results.items():
            if other.width != cell.width or (cell.codec, other.codec) == ("bitplane", "any"):
                continue
            against = change(_edits(row), _edits(rival), seed)
            if against.interval[0] > 0:
                broken.append(
                    f"{cell.line} at {cell.width:g} bits is worse than {other.line} by "
                    f"{against.mean:.1%} [{against.interval[0]:.1%}, {against.interval[1]:.1%}]"
                )
        promised = PROMISED_CHANGE.get(cell.width)
        if promised is not None and cell.codec == "any" and row.change > promised:
            broken.append(
                f"{cell.line} at {cell.width:g} bits changes the edit distance by "
                f"{row.change:+.1%}; promised is at most {promised:+.0%}"
            )
    return broken


def report(results: Mapping[Cell, Row], about: str) -> str:
    """The section of RESULTS.md."""
    parts = ["## Planning methods at equal bytes", about, "![](plots/plan-methods.svg)"]
    parts += ["### Change of the mean Levenshtein distance against float32 [95 %]"]
    parts += [_matrix(results, lambda r: _percent(r.change, r.change_low, r.change_high))]
    parts += ["### Mean Levenshtein distance [95 %]"]
    parts += [
        _matrix(
            results,
            lambda r: f"{r.levenshtein:.1f} [{r.levenshtein_low:.1f}, {r.levenshtein_high:.1f}]",
        )
    ]
    parts += ["### Divergence of the posteriors, nats per frame"]
    parts += [_matrix(results, lambda r: f"{r.divergence:.4f}")]
    return "\n\n".join(parts)


def short_report(results: Mapping[Cell, Row]) -> str:
    """For the README: the plans that most people would compare."""
    widths = sorted({cell.width for cell in results if cell.width == int(cell.width)})
    budgets = {cell.width: row.budget for cell, row in results.items()}
    found = {(cell.line, cell.width): row for cell, row in results.items()}
    rows = []
    for line, words in SHORT.items():
        cells = (found.get((line, width)) for width in widths)
        rows.append([words, *("–" if row is None else f"{row.change:+.1%}" for row in cells)])
    header = (f"{width:g} bits, {budgets[width] / 1e6:.1f} MB" for width in widths)
    return table(["plan", *header], rows)


def draw(results: Mapping[Cell, Row]) -> Path:
    """The plot of the section: the methods with our way of finding numbers."""
    shown = {c: r for c, r in results.items() if c.fitting == "ours" and c.seed == 0}
    lines = list(dict.fromkeys(cell.line for cell in shown))
    changes = {
        line: [
            (c.width, 100 * r.change, 100 * r.change_low, 100 * r.change_high)
            for c, r in shown.items()
            if c.line == line
        ]
        for line in lines
    }
    divergences = {
        line: [
            (c.width, r.divergence, r.divergence, r.divergence)
            for c, r in shown.items()
            if c.line == line
        ]
        for line in lines
    }
    x_label = "average bits per weight"
    return write_lines(
        "plan-methods",
        [
            Panel("Edit distance", x_label, "change against float32, %", changes),
            Panel("Divergence", x_label, "nats per frame", divergences, logarithmic=True),
        ],
    )


def _edits(row: Row) -> list[int]:
    return [int(each) for each in row.edits.split()]


def _matrix(results: Mapping[Cell, Row], written: Callable[[Row], str]) -> str:
    """Methods by widths."""
    widths = sorted({cell.width for cell in results})
    by_line: dict[str, dict[float, Row]] = {}
    for cell, row in results.items():
        by_line.setdefault(cell.line, {})[cell.width] = row
    return table(
        ["method", *(f"{width:g} bits" for width in widths)],
        [
            [line, *(written(rows[width]) if width in rows else "–" for width in widths)]
            for line, rows in by_line.items()
        ],
    )


def _percent(value: float, low: float, high: float) -> str:
    return f"{value:+.1%} [{low:+.1%}, {high:+.1%}]"
