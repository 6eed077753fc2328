"""The same number of bits for every layer: the most that fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quantkit.graph.plan import Plan
from quantkit.planning.methods.base import PlanRequest
from quantkit.planning.methods.nearest import nearest_plan
from quantkit.planning.methods.precisions import INTEGER_BITS


@dataclass(frozen=True)
class Uniform:
    """The plan with the most bits per weight whose file fits; it needs no sensitivity table."""

    name: ClassVar[str] = "uniform"
    description: ClassVar[str] = "the most bits that fit, the same for every layer"
    metric: ClassVar[str | None] = None

    def plan(self, request: PlanRequest) -> Plan:
        """See :class:`~quantkit.planning.methods.base.Method`."""
        precisions = request.precisions
        steps = [
            dict.fromkeys(precisions.names, bits)
            for bits in range(INTEGER_BITS, precisions.lowest - 1, -1)
        ]
        return nearest_plan(request, steps, self.name)
