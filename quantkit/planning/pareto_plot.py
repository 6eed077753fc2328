"""Plot of the Pareto front: size against predicted divergence."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from quantkit.planning.pareto import Front, FrontPoint
from quantkit.report.plotting import HEIGHT, PAPER, Palette, new_figure, style

_LEAST = 1e-9
# In a smaller range of sizes there may be only one tick at 1, 2 and 5.
_NARROW = 5.0


def front_figure(front: Front, palette: Palette = PAPER) -> Figure:
    """A step line from the smallest file to the best; one line per latency if measured.

    Points of similar latency are joined: each line is the front of the plans up to the latency of
    its label.

    Args:
        palette: of a file, or of a page.
    """
    with style(palette):
        figure, axes = new_figure(HEIGHT)
        for i, (label, points) in enumerate(_lines(front)):
            axes.plot(
                [point.size_bytes / 1e6 for point in points],
                [max(point.divergence, _LEAST) for point in points],
                "o-",
                drawstyle="steps-post",
                color=palette.models[(i + 1) % len(palette.models)],
                markersize=4,
                linewidth=1.4,
                label=label,
            )
        axes.set_title("The least divergence at each size")
        axes.set_xlabel("MB on disk, logarithmic")
        axes.set_ylabel("predicted divergence, nats")
        _logarithmic(axes)
        if len(axes.lines) > 1:
            axes.legend(frameon=False, fontsize=9)
    return figure


def _lines(front: Front) -> list[tuple[str, list[FrontPoint]]]:
    """Points by latency, without those dominated by a smaller file of at most the same latency."""
    times = sorted({p.milliseconds for p in front.points if p.milliseconds is not None})
    if not times:
        return [("", list(front.points))]
    ends = sorted({times[round(i * (len(times) - 1) / 3)] for i in range(4)})
    lines = []
    for end in ends:
        best, points = float("inf"), []
        for point in front.points:
            if (point.milliseconds or 0.0) <= end and point.divergence < best:
                best = point.divergence
                points.append(point)
        lines.append((f"at most {end:.1f} ms", points))
    return lines


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    least, most = axes.get_xlim()
    narrow = most < _NARROW * least
    axes.xaxis.set_major_locator(MaxNLocator(6) if narrow else LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
