"""matplotlib figures → inline SVG that follows the page's colours, light or dark.

Figures are drawn with placeholder colours, which become CSS variables in the SVG: the browser, not
matplotlib, decides what ink and each model's colour look like.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: How many models have a colour of their own; further ones repeat them.
MODEL_COLOURS = 8

INK, MUTED, GRID = "#b00001", "#b00002", "#b00003"
_MODELS = [f"#a0000{i}" for i in range(MODEL_COLOURS)]
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    **{colour: f"var(--model-{i})" for i, colour in enumerate(_MODELS)},
}

_WIDTH = 5.4

#: Height of a plot that has no rows of models, in inches.
HEIGHT = 3.6

# `Any`: matplotlib types the keys of settings differently from release to release.
_RC: Any = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 2.0,
    "lines.markersize": 6.0,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


def model_colour(index: int) -> str:
    """Placeholder colour of the ``index``-th model."""
    return _MODELS[index % MODEL_COLOURS]


@dataclass(frozen=True)
class Plot:
    """One figure of the page.

    Args:
        title, caption: for people.
        svg: inline.
        wide: takes a whole row.
    """

    title: str
    caption: str
    svg: str
    wide: bool = False


@contextmanager
def style() -> Iterator[None]:
    """Draw with the page's look inside the block."""
    with rc_context(_RC):
        yield


def new_figure(height: float) -> tuple[Figure, Axes]:
    """A figure of half the page's width with one pair of axes; inches."""
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def to_svg(figure: Figure, name: str, description: str) -> str:
    """Inline SVG that scales to its container.

    Args:
        figure: drawn inside :func:`style`.
        name: unique on the page; ids in the SVG are derived from it.
        description: read out by screen readers.
    """
    stream = io.StringIO()
    with rc_context({**_RC, "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = _only_used_ids(svg, name)
    # Without a size of its own the drawing takes the width that the page gives it.
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(?:width|height)="[^"]*"', "", opening)
    described = f'{opening} role="img" aria-label="{escape(description)}">{rest}'
    return described.replace("\n", " ")


def _only_used_ids(svg: str, name: str) -> str:
    """Drop ids that nothing refers to: ``axes_1`` would occur in every figure of the page."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))

    def rewritten(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    svg = re.sub(r'\sid="([^"]+)"', rewritten, svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
