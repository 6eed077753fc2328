"""Layer map: one column per layer, as wide as its number of weights and as high as its bits.

The area of a column is the storage of its weights. Two strips below the columns show the codec and
the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quantkit.graph.plan import LayerPlan, Plan
from quantkit.personalization.plots.colours import codec_colours, compute_colours, step_of
from quantkit.personalization.widths import mean_bits, stored_weights
from quantkit.report.plotting import INK, MUTED, Plot, model_colour, scale_colour, style, to_svg

_WIDTH, _HEIGHT = 11.2, 3.9
_FONT_SIZE = 8.5
# Minimum width of a column, as a share of the whole.
_LEAST_SHARE = 0.004
# Gap between columns: a share of their width, and at most of the whole.
_GAP, _MOST_GAP = 0.15, 0.0015
# Columns of floating point are cut off here, because they would dwarf all others.
_CUT_BITS = 9.2
_CUT_OFF = "Columns of 16 and 32 bits are cut off. "
# Position and height of the strips, in units of the vertical axis.
_STRIPS, _STRIP_HEIGHT = (-0.75, -1.5), 0.6
# Width of a label by its number of characters, as a share of the whole.
_CHARACTER = 0.0066


def layer_map(plan: Plan) -> Plot:
    """The picture of a plan."""
    edges = column_edges([*stored_weights(plan).values()])
    computes = compute_colours(row.compute for row in plan.layers)
    codecs = codec_colours(row.codec for row in plan.layers)
    with style():
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.subplots()
        for row, left, right in zip(plan.layers, edges[:-1], edges[1:], strict=True):
            width = (right - left) - min(_GAP * (right - left), _MOST_GAP)
            _column(axes, row, left, width)
            colours = (model_colour(codecs[row.codec]), model_colour(computes[row.compute]))
            for base, colour in zip(_STRIPS, colours, strict=True):
                axes.bar(left, _STRIP_HEIGHT, width, base, align="edge", color=colour)
        _finish(axes, edges, min(max(mean_bits(row) for row in plan.layers), _CUT_BITS))
    cut = any(mean_bits(row) > _CUT_BITS for row in plan.layers)
    words = f"{len(plan.layers)} layers as columns: as wide as their weights, as high as their bits"
    return Plot(
        "Layers and their bits",
        "Each column is a layer, in the order of computing. Its width is the number of weights, "
        f"its height their bits, so that its area is their size. {_CUT_OFF if cut else ''}The "
        "strips below show how the weights are stored and which kernel computes with them; numbers "
        "are those of the table below.",
        to_svg(figure, "layer-map", words),
        wide=True,
    )


def column_edges(weights: Sequence[int]) -> list[float]:
    """Edges of the columns, from 0 to 1; every column has at least a visible width."""
    total = max(1, sum(weights))
    least = min(_LEAST_SHARE, 0.5 / len(weights))
    shares = [max(least, count / total) for count in weights]
    edges = [0.0]
    for share in shares:
        edges.append(edges[-1] + share / sum(shares))
    return edges


def labelled(edges: Sequence[float]) -> list[int]:
    """The columns with room for their number, which is their position plus one.

    Labels do not overlap; wide columns have priority.
    """
    order = sorted(range(len(edges) - 1), key=lambda i: edges[i] - edges[i + 1])
    kept: list[int] = []
    for i in order:
        middle = (edges[i] + edges[i + 1]) / 2
        room = _CHARACTER * (len(str(i + 1)) + 1)
        if all(abs(middle - (edges[k] + edges[k + 1]) / 2) >= room for k in kept):
            kept.append(i)
    return sorted(kept)


def _column(axes: Axes, row: LayerPlan, left: float, width: float) -> None:
    bits = mean_bits(row)
    height = min(bits, _CUT_BITS)
    axes.bar(left, height, width, align="edge", color=scale_colour(step_of(bits)))
    label = f"{bits:.2g}"
    if width >= _CHARACTER * (len(label) + 1):
        axes.text(
            left + width / 2,
            height + 0.12,
            label,
            ha="center",
            va="bottom",
            color=INK,
            fontsize=_FONT_SIZE,
        )


def _finish(axes: Axes, edges: Sequence[float], highest: float) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(_STRIPS[-1] - 0.1, max(highest, 4) + 0.8)
    middles = [(edges[i] + edges[i + 1]) / 2 for i in labelled(edges)]
    axes.set_xticks(middles, [str(i + 1) for i in labelled(edges)], fontsize=_FONT_SIZE)
    strips = [base + _STRIP_HEIGHT / 2 for base in _STRIPS]
    scale = range(0, int(highest) + 1, 2)
    axes.set_yticks([*strips, *scale], ["stored", "computed", *map(str, scale)])
    axes.tick_params(length=0)
    axes.grid(False, axis="x")
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_ylabel("bits per weight", loc="top")
    axes.set_xlabel("layer", loc="left")
