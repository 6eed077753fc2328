"""Common style of all plots, as inline SVG of a page or as a file.

Figures for pages are drawn with placeholder colours, which become CSS variables in the SVG: the
browser, not matplotlib, chooses the colours for a light or dark page. Files are drawn on white.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names

from quantkit.disk.files import atomic_path
from quantkit.errors import InputError

#: Number of distinct model colours; further models repeat them.
MODEL_COLOURS = 16
#: Steps of the colour scale for ordered values, such as bits.
SCALE_COLOURS = 8


@dataclass(frozen=True)
class Palette:
    """Colours of a figure.

    Args:
        ink, muted, grid: of titles and labels, of axes and scales, of grid lines.
        models: one for each compared item.
        paper: of the background.
    """

    ink: str
    muted: str
    grid: str
    models: tuple[str, ...]
    paper: str = "none"


INK, MUTED, GRID = "#b00001", "#b00002", "#b00003"
#: Placeholders for the colours of the page's style sheet.
PAGE = Palette(INK, MUTED, GRID, tuple(f"#a000{i:02}" for i in range(MODEL_COLOURS)))
#: The style sheet's colours for a light page.
PAPER = Palette(
    ink="#1b2330",
    muted="#5c6675",
    grid="#e3e7ed",
    models=(
        "#4a5a74",
        "#d9722e",
        "#2c9c8c",
        "#b9467f",
        "#7d63cc",
        "#2f7dd1",
        "#84912b",
        "#b5433a",
        "#8a5a2b",
        "#1f6f4a",
        "#c79a00",
        "#6b2d5c",
        "#56a5c9",
        "#e58a9b",
        "#3a3f9e",
        "#7a8a8c",
    ),
    paper="#ffffff",
)
_SCALE = tuple(f"#c0000{i}" for i in range(SCALE_COLOURS))
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    **{colour: f"var(--model-{i})" for i, colour in enumerate(PAGE.models)},
    **{colour: f"var(--scale-{i})" for i, colour in enumerate(_SCALE)},
}

_FALLBACKS = (
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Sans Arabic",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans",
    "Nirmala UI",
    "Leelawadee UI",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
)

#: Characters of a name in a figure; the whole name stands in the legend and the tables.
LONGEST_NAME = 26

_WIDTH = 5.4
_DPI = 200

#: Height of a plot that has no rows of models, in inches.
HEIGHT = 3.6


# Settings that say how something is drawn; the others are about windows and back ends.
_DRAWING = re.compile(
    r"(axes|contour|figure|font|grid|hatch|image|legend|lines|markers|mathtext|patch|path|pdf|"
    r"savefig|scatter|svg|text|xaxis|xtick|yaxis|ytick)[.0-9a-z_]*"
)
_NOT_DRAWING = ("figure.raise_window", "savefig.directory", "figure.hooks")


@cache
def _further_fonts() -> tuple[str, ...]:
    """Fonts of this host for scripts that the first one lacks; matplotlib warns of absent ones."""
    known = set(get_font_names())
    return tuple(name for name in _FALLBACKS if name in known)


def _settings(palette: Palette) -> Any:
    # `Any`: matplotlib types the keys of settings differently from release to release.
    return {
        # matplotlib reads a `matplotlibrc` in the working folder, which could run LaTeX.
        **{
            key: value
            for key, value in rcParamsDefault.items()
            if _DRAWING.fullmatch(key) and key not in _NOT_DRAWING
        },
        "svg.fonttype": "none",
        "font.size": 10.5,
        "font.family": ["DejaVu Sans", *_further_fonts()],
        "axes.edgecolor": palette.muted,
        "axes.labelcolor": palette.muted,
        "axes.titlecolor": palette.ink,
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
        "grid.color": palette.grid,
        "grid.linewidth": 0.8,
        "text.color": palette.ink,
        "xtick.color": palette.muted,
        "ytick.color": palette.muted,
        "xtick.labelcolor": palette.muted,
        "ytick.labelcolor": palette.muted,
        "lines.linewidth": 2.0,
        "lines.markersize": 6.0,
        "figure.facecolor": palette.paper,
        "savefig.facecolor": palette.paper,
    }


def model_colour(index: int) -> str:
    """Placeholder colour of the ``index``-th model."""
    return PAGE.models[index % MODEL_COLOURS]


def scale_colour(step: int) -> str:
    """Placeholder colour of a step of the ordered scale, for figures of pages."""
    return _SCALE[step]


@dataclass(frozen=True)
class Plot:
    """One figure of the page.

    Args:
        title, caption: text.
        svg: inline.
        wide: takes a whole row.
    """

    title: str
    caption: str
    svg: str
    wide: bool = False


@contextmanager
def style(palette: Palette = PAGE) -> Iterator[None]:
    """Draw in the common style inside the block."""
    with rc_context(_settings(palette)), warnings.catch_warnings():
        # A page's text is drawn by the browser, which has the glyphs.
        warnings.filterwarnings("ignore", message="Glyph")
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
    with rc_context({**_settings(PAGE), "svg.hashsalt": name}):
        _save(figure, stream, format="svg", metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = _only_used_ids(svg, name)
    # Without a fixed size the drawing takes the width of its container.
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(?:width|height)="[^"]*"', "", opening)
    described = f'{opening} role="img" aria-label="{escape(description)}">{rest}'
    return described.replace("\n", " ")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure drawn in the colours of :data:`PAPER`, in the format of the suffix.

    Raises:
        InputError: matplotlib cannot write this format.
        OutputError: ``path`` cannot be written.
    """
    kinds = figure.canvas.get_supported_filetypes()
    kind = path.suffix.lower().removeprefix(".")
    if kind not in kinds:
        raise InputError(f"cannot draw {path}: choose a name that ends in .png, .svg or .pdf")
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    with (
        rc_context({**_settings(PAPER), "svg.hashsalt": path.stem}),
        atomic_path(path) as temporary,
    ):
        _save(figure, temporary, format=kind, dpi=_DPI, metadata=metadata)


def _save(figure: Figure, target: Any, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(target, **options)


def _only_used_ids(svg: str, name: str) -> str:
    """Remove unreferenced ids: ``axes_1`` would occur in every figure of the page."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))

    def rewritten(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    svg = re.sub(r'\sid="([^"]+)"', rewritten, svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
