"""The Pareto front: size against predicted divergence, and latency if measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantkit.planning.optimal import Planner
from quantkit.planning.programme import Solution
from quantkit.progress import Progress
from quantkit.version import __version__

PARETO_SCHEMA = "quantkit.pareto/1"

_BUDGETS = 24
_LIMITS = 5


@dataclass(frozen=True)
class FrontPoint:
    """A plan that no other dominates.

    Args:
        size_bytes: of the file, as the size model predicts it.
        divergence: predicted, in nats per frame.
        milliseconds: predicted per run; None if layers were not timed.
        layers: the choice of each, such as ``grouped:4@static``.
    """

    size_bytes: int
    divergence: float
    milliseconds: float | None
    layers: Mapping[str, str]


@dataclass(frozen=True)
class Front:
    """The points of one model, from the smallest file to the largest.

    Args:
        model_sha256: of the float model.
        points: at least one.
    """

    model_sha256: str
    points: tuple[FrontPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """The ``quantkit.pareto/1`` object."""
        return {
            "schema": PARETO_SCHEMA,
            "quantkit": __version__,
            "model_sha256": self.model_sha256,
            "points": [
                {
                    "size_bytes": point.size_bytes,
                    "divergence": point.divergence,
                    "milliseconds": point.milliseconds,
                    "layers": dict(point.layers),
                }
                for point in self.points
            ],
        }

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of the table."""
        timed = any(point.milliseconds is not None for point in self.points)
        header = ["bytes", "divergence", *(["ms"] if timed else []), *self.points[0].layers]
        rows = [
            [
                str(point.size_bytes),
                f"{point.divergence:.4g}",
                *([f"{point.milliseconds:.2f}"] if point.milliseconds is not None else []),
                *point.layers.values(),
            ]
            for point in self.points
        ]
        return header, rows


def pareto_front(
    planner: Planner,
    *,
    timed: bool = False,
    budgets: int = _BUDGETS,
    progress: Progress | None = None,
) -> Front:
    """Solve for many budgets, and keep the solutions that are not dominated.

    Args:
        timed: whether the planner's options have times; then solve for many latency limits, too.
        budgets: number of budgets, logarithmically spaced from the smallest file to that of least
            divergence.
        progress: see :data:`~quantkit.progress.Progress`.
    """
    found: list[Solution] = []
    limits = _limits(planner) if timed else [None]
    for turn, limit in enumerate(limits):
        smallest = planner.smallest(limit)
        if smallest is None:
            continue
        low = planner.sizes.base + smallest.bytes
        largest = planner.estimate(planner.largest_bytes, limit)
        high = low if largest is None else planner.sizes.base + largest.bytes
        solution = smallest
        for step, budget in enumerate(np.geomspace(low, max(low, high), budgets)):
            # Rounding must not make the ends infeasible. What fits into one budget fits into the
            # next.
            solution = planner.estimate(int(np.ceil(budget)), limit, known=solution) or solution
            found.append(solution)
            if progress is not None:
                progress("solving for other sizes", (turn + (step + 1) / budgets) / len(limits))
    points = [_point(planner, solution, timed) for solution in found]
    return Front(planner.sizes.model_sha256, _unbeaten(points))


def _limits(planner: Planner) -> list[float | None]:
    """Latency limits from the fastest plan to no limit."""
    fastest = planner.fastest().milliseconds
    free = planner.estimate(planner.largest_bytes)
    slowest = fastest if free is None else free.milliseconds
    # A margin for float rounding, so that the fastest plan keeps to its own limit.
    steps = np.linspace(fastest * (1 + 1e-9), slowest, _LIMITS)[:-1]
    return [*(float(each) for each in steps), None]


def _point(planner: Planner, solution: Solution, timed: bool) -> FrontPoint:
    return FrontPoint(
        size_bytes=planner.sizes.base + solution.bytes,
        divergence=solution.divergence,
        milliseconds=solution.milliseconds if timed else None,
        layers={
            name: f"{choice.codec}@{choice.compute}" for name, choice in solution.choices.items()
        },
    )


def _unbeaten(points: Sequence[FrontPoint]) -> tuple[FrontPoint, ...]:
    def costs(point: FrontPoint) -> tuple[float, float, float]:
        return point.size_bytes, point.divergence, point.milliseconds or 0.0

    kept: dict[tuple[float, float, float], FrontPoint] = {}
    for point in sorted(points, key=costs):
        mine = costs(point)
        if not any(all(o <= m for o, m in zip(other, mine, strict=True)) for other in kept):
            kept[mine] = point
    return tuple(kept.values())
