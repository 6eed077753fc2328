"""myQASR: all layers within one bit of each other, in an order from unlabelled audio.

E. Fish, U. Michieli and M. Ozay, "A Model for Every User and Budget: Label-Free and Personalized
Mixed-Precision Quantization", Interspeech 2023, algorithm 1. Start every layer at 32 bits, sort the
layers by the median of their outputs, and remove one bit from each layer of the sorted list in turn
until the size fits. For the paper's size counts see :mod:`quantkit.planning.methods.counting`. Its
ranges (min-max, cosine, Hessian) are separate settings, see
:class:`~quantkit.quantization.choices.ptq.PtqSettings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.methods.base import PlanRequest
from quantkit.planning.methods.bit_sequences import candidates, in_turn
from quantkit.planning.methods.counting import (
    SIZE_COUNTS,
    SizeCount,
    counted_bytes,
    float_parameters,
)
from quantkit.planning.methods.nearest import nearest_plan
from quantkit.planning.methods.ordering import MEDIAN, Direction, ranking
from quantkit.planning.methods.precisions import FLOAT_BITS, Precisions
from quantkit.planning.size import with_sizes


@dataclass(frozen=True)
class MyQasr:
    """The plan that myQASR makes.

    As published, activations have as many bits as the weights: a request's ``activation_bits`` is
    ``"weights"`` then.

    Args:
        metric: of the sensitivity table, to sort by.
        direction: see :data:`~quantkit.planning.methods.ordering.Direction`.
        size: the size count that is compared with the budget. Only with ``bytes`` does the file
            keep to it. With others the plan records no budget, and its predicted bytes are the real
            file size.
    """

    name: ClassVar[str] = "myqasr"
    description: ClassVar[str] = (
        "one bit from each layer in turn, sorted by a metric, until the size fits"
    )

    metric: str = MEDIAN
    direction: Direction = "ascending"
    size: SizeCount = "bytes"

    def plan(self, request: PlanRequest) -> Plan:
        """See :class:`~quantkit.planning.methods.base.Method`."""
        order = ranking(request.metric(self.metric), self.direction)
        method = request.describe(f"{self.name} {self.direction}", self.metric)
        if self.size == "bytes":
            return plan_in_order(request, order, method)
        if self.size not in SIZE_COUNTS:
            raise InputError(f"unknown size {self.size!r}; choose one of {', '.join(SIZE_COUNTS)}")
        precisions = request.precisions
        weights = precisions.weights
        others = float_parameters(request.model.original) - sum(weights.values())
        smallest = 0.0
        for bits in candidates(*_descent(precisions, order)):
            smallest = counted_bytes(weights, bits, others, self.size)
            if smallest <= request.budget_bytes:
                plan = precisions.plan(bits, f"{method}, size as {self.size}")
                return with_sizes(request.model, plan, fitting=request.fitting)
        raise InputError(
            f"{request.budget_bytes:,} bytes are impossible: with {precisions.lowest} bits for "
            f"every layer the {self.size} count is {smallest:,.0f}; raise the budget, or exclude "
            "fewer layers"
        )


def plan_in_order(request: PlanRequest, order: list[str], method: str) -> Plan:
    """Take bits round after round in the given order until the file fits.

    Args:
        method: what the plan says about how it was made.

    Raises:
        InputError: not even the fewest bits fit; the message states the smallest size.
    """
    steps = list(candidates(*_descent(request.precisions, order)))
    return nearest_plan(request, steps, method)


def _descent(precisions: Precisions, order: list[str]) -> tuple[dict[str, int], list[str]]:
    """myQASR's start, and the sequence of bits that it may remove."""
    start = dict.fromkeys(precisions.names, FLOAT_BITS)
    return start, list(in_turn(order, FLOAT_BITS - precisions.lowest))
