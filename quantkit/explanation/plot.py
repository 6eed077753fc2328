"""What the layers cost, as bars."""

from __future__ import annotations

from matplotlib.figure import Figure

from quantkit.explanation.result import Explanation
from quantkit.report.formatting import shortened
from quantkit.report.plotting import GRID, Plot, model_colour, style, to_svg

_WIDTH, _ROW_HEIGHT = 11.2, 0.34
_MOST_ROWS = 24
_LONGEST_NAME = 44
_THICKNESS = 0.38


def layer_plot(found: Explanation) -> Plot | None:
    """The plot; None where layers are not told apart, or none costs anything."""
    worst = [each for each in found.worst if each.restored > 0.0 or each.alone > 0.0]
    shown = worst[:_MOST_ROWS]
    if not shown:
        return None
    with style():
        figure = Figure(figsize=(_WIDTH, 1.1 + _ROW_HEIGHT * len(shown)), layout="constrained")
        axes = figure.subplots()
        places = range(len(shown))
        bars = (
            ("given back", [each.restored for each in shown], 0, -_THICKNESS / 2),
            ("alone: weights", [each.weights for each in shown], 1, _THICKNESS / 2),
        )
        for label, values, colour, offset in bars:
            axes.barh(
                [place + offset for place in places],
                values,
                _THICKNESS,
                label=label,
                color=model_colour(colour),
            )
        axes.barh(
            [place + _THICKNESS / 2 for place in places],
            [each.inputs for each in shown],
            _THICKNESS,
            left=[each.weights for each in shown],
            label="alone: inputs",
            color=model_colour(2),
        )
        axes.set_yticks(places, [shortened(each.name, _LONGEST_NAME) for each in shown])
        axes.invert_yaxis()
        axes.set_xlabel(f"nats per {found.unit}")
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
        axes.legend(loc="lower right")
    left_out = len(worst) - len(shown)
    caption = (
        "Upper bars: what the file loses less if this layer alone is given back its float32 "
        "numbers. Lower bars: what this layer's weights and inputs lose by themselves, with all "
        "else in float32."
    )
    if left_out:
        caption += f" {left_out} more layers are in the table only."
    description = "What each layer costs, given back and alone"
    return Plot("What each layer costs", caption, to_svg(figure, "layers", description), wide=True)
