"""The first of a sequence of decreasing candidates whose file fits the budget."""

from __future__ import annotations

from collections.abc import Sequence

from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.methods.base import PlanRequest
from quantkit.planning.methods.bit_sequences import Bits
from quantkit.planning.methods.precisions import Precisions
from quantkit.planning.size import with_sizes
from quantkit.quantization.choices.settings import LayerChoice


def nearest_plan(request: PlanRequest, steps: Sequence[Bits], method: str) -> Plan:
    """The plan of the first of ``steps`` whose file takes at most the budget.

    The size model finds the approximate position; there, files are built for their exact size.

    Args:
        steps: from the largest file to the smallest, where all layers have the same bits.
        method: recorded in the plan.

    Raises:
        InputError: not even the last step fits; the message states its size.
    """
    precisions, budget_bytes = request.precisions, request.budget_bytes
    steps = _different(precisions, steps)
    built: dict[int, Plan] = {}

    def fits(position: int) -> bool:
        if position not in built:
            plan = precisions.plan(steps[position], method)
            built[position] = with_sizes(request.model, plan, budget_bytes, request.fitting)
        return predicted(built[position]) <= budget_bytes

    last = len(steps) - 1
    position = next(
        (i for i, bits in enumerate(steps) if precisions.estimate(bits) <= budget_bytes), last
    )
    while not fits(position):
        if position == last:
            fewest = precisions.codec(max(steps[-1].values()))
            raise InputError(
                f"a file of {budget_bytes:,} bytes is impossible: with {fewest} for every layer "
                f"it takes {predicted(built[last]):,}; raise the budget, or exclude fewer layers"
            )
        position += 1
    while position > 0 and fits(position - 1):
        position -= 1
    return built[position]


def predicted(plan: Plan) -> int:
    """The size of a plan that :func:`~quantkit.planning.size.with_sizes` made."""
    if plan.predicted_bytes is None:
        raise InputError("the plan has no predicted size")
    return plan.predicted_bytes


def _different(precisions: Precisions, steps: Sequence[Bits]) -> list[Bits]:
    """The steps without those that give the same file as the step before."""
    kept: list[Bits] = []
    before: dict[str, LayerChoice] = {}
    for bits in steps:
        choices = precisions.choices(bits)
        if choices != before:
            kept.append(bits)
        before = choices
    return kept
