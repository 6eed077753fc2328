"""Bits interpolated linearly between the least and the greatest value of a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.methods.base import PlanRequest
from quantkit.planning.methods.bit_sequences import by_value, candidates
from quantkit.planning.methods.nearest import nearest_plan
from quantkit.planning.methods.ordering import MEDIAN, Direction, check_direction
from quantkit.planning.methods.precisions import INTEGER_BITS


@dataclass(frozen=True)
class Linear:
    """The min-max baseline of the myQASR paper, shifted until the file fits.

    See :func:`~quantkit.planning.methods.bit_sequences.by_value` for the interpolation.

    Args:
        metric: of the sensitivity table.
        direction: ``descending``: the greatest value gets the fewest bits, as in the paper;
            ``ascending``: the smallest value.
        lowest, highest: bits of the extremes without a shift, and limits for all layers.
    """

    name: ClassVar[str] = "linear"
    description: ClassVar[str] = "bits in proportion to a metric of the layers"

    metric: str = MEDIAN
    direction: Direction = "descending"
    lowest: int = 1
    highest: int = INTEGER_BITS

    def plan(self, request: PlanRequest) -> Plan:
        """See :class:`~quantkit.planning.methods.base.Method`.

        Raises:
            InputError: likewise, and for limits that are not a range within 1 to 8.
        """
        lowest, highest = self.lowest, self.highest
        if not 1 <= lowest < highest <= INTEGER_BITS:
            raise InputError(
                f"bits from {lowest} to {highest} are no range; choose ends from 1 to "
                f"{INTEGER_BITS}"
            )
        check_direction(self.direction)
        values = request.metric(self.metric)
        if self.direction == "descending":
            values = {name: -value for name, value in values.items()}
        start = dict.fromkeys(request.precisions.names, highest)
        steps = list(candidates(start, by_value(values, lowest, highest)))
        method = request.describe(f"{self.name} {self.direction}", self.metric)
        return nearest_plan(request, steps, method)
