"""myQASR with its order reversed, to measure the value of the order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quantkit.graph.plan import Plan
from quantkit.planning.methods.base import PlanRequest
from quantkit.planning.methods.myqasr import plan_in_order
from quantkit.planning.methods.ordering import MEDIAN, Direction, ranking


@dataclass(frozen=True)
class Reversed:
    """The plan of :class:`~quantkit.planning.methods.myqasr.MyQasr` with its order reversed.

    Layers differ in size, so merely permuting the bits would miss the budget: the descent is
    repeated in the other order. Apart from the name, this is myQASR in the other direction.

    Args:
        metric: of the sensitivity table, to sort by.
        direction: the one that is reversed.
    """

    name: ClassVar[str] = "reversed"
    description: ClassVar[str] = "myqasr with its order reversed"

    metric: str = MEDIAN
    direction: Direction = "ascending"

    def plan(self, request: PlanRequest) -> Plan:
        """See :class:`~quantkit.planning.methods.base.Method`."""
        order = ranking(request.metric(self.metric), self.direction)[::-1]
        method = request.describe(f"{self.name} {self.direction}", self.metric)
        return plan_in_order(request, order, method)
