"""Divergence of the posteriors if a single layer is stored in few bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from quantkit.graph.plan import Plan
from quantkit.personalization.plots.colours import step_of
from quantkit.report.formatting import shortened
from quantkit.report.plotting import GRID, INK, Plot, scale_colour, style, to_svg
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity

#: The bits that are compared.
BITS = (2, 3, 4)

_WIDTH, _ROW_HEIGHT = 11.2, 0.22
# Most rows; the most sensitive layers are shown.
_MOST_ROWS = 60
_LONGEST_NAME = 52
# Resolution of measurements in float32.
_LEAST = 1e-8
# For text on the spots, which are light on light and on dark pages.
_DIGIT = "#10141c"


def sensitivity_plot(sensitivity: Sensitivity, plan: Plan | None = None) -> Plot | None:
    """The plot; None if no divergence is known.

    Args:
        plan: its choices are marked.
    """
    curves = {layer.name: divergence_by_bits(layer) for layer in sensitivity.layers}
    known = [layer for layer in sensitivity.layers if curves[layer.name]]
    if not known:
        return None
    shown = _most_sensitive(known, curves)
    rows = () if plan is None else plan.layers
    chosen = {row.name: row.bits for row in rows if row.codec != "tiered"}
    with style():
        figure = Figure(figsize=(_WIDTH, 0.9 + _ROW_HEIGHT * len(shown)), layout="constrained")
        axes = figure.subplots()
        for position, layer in enumerate(shown):
            _row(axes, position, curves[layer.name], chosen.get(layer.name))
        _finish(axes, _labels(sensitivity, shown))
    left_out = len(known) - len(shown)
    caption = (
        "How far the output moves when this layer alone is stored in 2, 3 or 4 bits: further right "
        "is worse, and each mark on the scale is ten times the one before. A ring marks the bits "
        "that the plan gave the layer, where they are among these."
    )
    if left_out:
        caption += f" The {left_out} least sensitive layers are in the table only."
    return Plot(
        "Each layer alone in 2, 3 and 4 bits",
        caption,
        to_svg(figure, "sensitivity", "Divergence of the output by layer and bits"),
        wide=True,
    )


def divergence_by_bits(layer: LayerSensitivity) -> dict[int, float]:
    """The least divergence of any codec with these bits, for those of :data:`BITS` it has.

    Only codecs with the same bits for all weights.
    """
    found: dict[int, float] = {}
    for each in layer.weights:
        bits = int(each.codec.bits)
        if bits == each.codec.bits and bits in BITS and each.codec.has_one_width:
            found[bits] = min(each.divergence, found.get(bits, each.divergence))
    return {bits: found[bits] for bits in BITS if bits in found}


def _labels(sensitivity: Sensitivity, shown: Sequence[LayerSensitivity]) -> list[str]:
    """Number and name of each layer, without the prefix that all names share."""
    names = [layer.name.split("/") for layer in sensitivity.layers]
    columns = zip(*(parts[:-1] for parts in names), strict=False)
    common = sum(1 for _ in takewhile(lambda folders: len(set(folders)) == 1, columns))
    labels = {
        layer.name: f"{number}  {shortened('/'.join(parts[common:]), _LONGEST_NAME)}"
        for number, (layer, parts) in enumerate(zip(sensitivity.layers, names, strict=True), 1)
    }
    return [labels[layer.name] for layer in shown]


def _most_sensitive(
    layers: Sequence[LayerSensitivity], curves: Mapping[str, Mapping[int, float]]
) -> list[LayerSensitivity]:
    ranked = sorted(layers, key=lambda layer: -max(curves[layer.name].values()))
    kept = {layer.name for layer in ranked[:_MOST_ROWS]}
    return [layer for layer in layers if layer.name in kept]


def _row(axes: Axes, position: int, divergences: Mapping[int, float], chosen: float | None) -> None:
    values = {bits: max(value, _LEAST) for bits, value in divergences.items()}
    axes.plot(
        [min(values.values()), max(values.values())],
        [position, position],
        color=GRID,
        linewidth=4.5,
        solid_capstyle="round",
        zorder=1,
    )
    for bits, value in values.items():
        axes.plot(
            value,
            position,
            "o",
            color=scale_colour(step_of(bits)),
            markersize=11,
            markeredgecolor=INK if bits == chosen else "none",
            markeredgewidth=1.8,
            zorder=2,
        )
        # Drawn as a path, because the page's halo around text would cover the spot.
        axes.plot(
            value, position, marker=f"${bits}$", color=_DIGIT, markersize=5, mew=0.2, zorder=3
        )


def _finish(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=8.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("divergence of the output, nats, logarithmic")
