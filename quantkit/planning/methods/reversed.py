"""myQASR's order the wrong way round: what the order is worth."""

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

    Layers are of different sizes, so bits that merely changed places would miss the budget: the
    rounds are gone anew. That makes it, but for the name, myQASR in the other direction.

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
