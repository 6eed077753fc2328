"""The bits of another plan in random order, to measure the value of the assignment."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import ClassVar

from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.methods.base import PlanRequest
from quantkit.planning.methods.bit_sequences import Bits
from quantkit.planning.methods.myqasr import MyQasr
from quantkit.planning.methods.nearest import predicted
from quantkit.planning.methods.ordering import MEDIAN, Direction
from quantkit.planning.methods.precisions import FLOAT_BITS, Precisions
from quantkit.planning.size import with_sizes

# Random assignments to draw; the one that uses most of the budget is chosen. Layers differ in size,
# and a plan of fewer bytes would not be a fair comparison.
_DEALS = 500


@dataclass(frozen=True)
class Shuffled:
    """The bits of a plan, each assigned to a randomly drawn layer.

    Args:
        metric, direction: see :class:`~quantkit.planning.methods.myqasr.MyQasr`.
        base: whose bits are dealt out; None: myQASR's for the same request.
        seed: the same one gives the same plan.
    """

    name: ClassVar[str] = "shuffled"
    description: ClassVar[str] = "the bits that myqasr assigns, dealt out at random"

    metric: str = MEDIAN
    direction: Direction = "ascending"
    base: Plan | None = None
    seed: int = 0

    def plan(self, request: PlanRequest) -> Plan:
        """See :class:`~quantkit.planning.methods.base.Method`.

        Raises:
            InputError: likewise, and where no deal fits.
        """
        base, budget_bytes = self.base, request.budget_bytes
        if base is None:
            base = MyQasr(self.metric, self.direction).plan(request)
            described = f"{self.name} {self.seed} of {MyQasr.name} {self.direction}"
            method = request.describe(described, self.metric)
        else:
            method = request.describe(f"{self.name} {self.seed} of {base.method}")
        precisions = request.precisions
        bits = {row.name: min(math.ceil(row.bits), FLOAT_BITS) for row in base.layers}
        hand = [bits[name] for name in precisions.names]
        for deal in _deals(precisions, hand, budget_bytes, self.seed):
            dealt = precisions.plan(deal, method)
            plan = with_sizes(request.model, dealt, budget_bytes, request.fitting)
            if predicted(plan) <= budget_bytes:
                return plan
        raise InputError(
            f"none of {_DEALS} random assignments of these bits fits {budget_bytes:,} bytes; raise "
            "the budget, or use another seed"
        )


def _deals(precisions: Precisions, hand: list[int], budget_bytes: int, seed: int) -> list[Bits]:
    """Distinct assignments that are estimated to fit, the one of the largest file first."""
    generator = random.Random(seed)
    undealt = dict(zip(precisions.names, hand, strict=True))
    exact = predicted(with_sizes(precisions.source, precisions.plan(undealt, "undealt")))
    # The estimate has about the same error for all assignments.
    room = budget_bytes - (exact - precisions.estimate(undealt))
    sizes: dict[tuple[int, ...], int] = {}
    for _ in range(_DEALS):
        deal = tuple(generator.sample(hand, len(hand)))
        if deal not in sizes:
            sizes[deal] = precisions.estimate(dict(zip(precisions.names, deal, strict=True)))
    fitting = [deal for deal in sizes if sizes[deal] <= room]
    return [
        dict(zip(precisions.names, deal, strict=True))
        for deal in sorted(fitting, key=sizes.__getitem__, reverse=True)
    ]
