"""Plot of the least divergence at each size, with the chosen plan."""

from __future__ import annotations

from matplotlib.ticker import FuncFormatter

from quantkit.planning.pareto import Front
from quantkit.planning.pareto_plot import front_figure
from quantkit.report.plotting import HEIGHT, INK, MUTED, PAGE, Plot, style, to_svg

_WIDTH = 11.2


def front_plot(
    front: Front,
    *,
    size_bytes: int | None,
    divergence: float | None,
    budget_bytes: int | None,
) -> Plot:
    """The picture.

    Args:
        size_bytes, divergence: of the chosen plan; None if there is none.
        budget_bytes: largest allowed size of its file.
    """
    figure = front_figure(front, PAGE)
    figure.set_size_inches(_WIDTH, HEIGHT)
    axes = figure.axes[0]
    with style():
        # The page has its own heading.
        axes.set_title("")
        if len(axes.lines) == 1:
            # The colours of models are those of codecs and kernels here.
            axes.lines[0].set_color(INK)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if budget_bytes is not None:
            axes.axvline(budget_bytes / 1e6, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        if size_bytes is not None and divergence:
            axes.plot(size_bytes / 1e6, divergence, "D", color=INK, markersize=8, zorder=5)
    caption = (
        "Every point is the best plan of its size. Down is closer to float32, left is smaller."
    )
    if size_bytes is not None and divergence:
        caption += " The diamond is the plan that was chosen."
    if budget_bytes is not None:
        caption += " The dashed line is the budget."
    return Plot(
        "Size against divergence",
        caption,
        to_svg(figure, "front", "Predicted divergence by size of the file"),
        wide=True,
    )
