"""myQASR: all layers within one bit of each other, the order found from unlabelled audio.

E. Fish, U. Michieli and M. Ozay, "A Model for Every User and Budget: Label-Free and Personalized
Mixed-Precision Quantization", Interspeech 2023, algorithm 1. Start every layer at 32 bits, sort
the layers by the median of their outputs, and go round the sorted list taking one bit from each
in turn until the size fits. How the paper's sizes are counted: see
:mod:`quantkit.planning.methods.counting`; its ranges (min-max, cosine, Hessian) are settings of
their own, see :class:`~quantkit.quantization.choices.fitting.Fitting`.
"""

from __future__ import annotations

from pathlib import Path

from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.methods.bit_sequences import candidates, in_turn
from quantkit.planning.methods.counting import (
    SIZE_COUNTS,
    SizeCount,
    counted_bytes,
    float_parameters,
)
from quantkit.planning.methods.nearest import nearest_plan
from quantkit.planning.methods.ordering import MEDIAN, Direction, metric_values, ranking
from quantkit.planning.methods.precisions import FLOAT_BITS, ActivationBits, Precisions
from quantkit.planning.size import with_sizes
from quantkit.quantization.choices.fitting import Fitting
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.sensitivity.table import Sensitivity


def myqasr_plan(
    source: Path,
    budget_bytes: int,
    sensitivity: Sensitivity | None,
    settings: QuantizeSettings,
    *,
    codec: str = "bitplane",
    activation_bits: ActivationBits = None,
    fitting: Fitting | None = None,
    metric: str = MEDIAN,
    direction: Direction = "ascending",
    size: SizeCount = "bytes",
) -> Plan:
    """The plan that myQASR makes for ``budget_bytes``.

    Args:
        settings: compute, exclusions and rules; its codec is set here.
        codec: name of the codec for fewer than 8 bits.
        activation_bits: ``weights``: as many as the layer's weights have, as published; else see
            :data:`~quantkit.planning.methods.precisions.ActivationBits`.
        fitting: what the plan says about how its numbers are found.
        metric: of the sensitivity table, to sort by.
        direction: see :data:`~quantkit.planning.methods.ordering.Direction`.
        size: what is compared with the budget. Only with ``bytes`` does the file keep to it; else
            the plan notes no budget, and its predicted bytes say what the file really takes.

    Raises:
        InputError: not even the fewest bits fit, the table lacks something, or an option has a
            value that does not exist.
        FormatError: the table is for another model.
        ModelError: see :func:`~quantkit.quantization.quantize_model`.
    """
    precisions = Precisions(source, settings, codec, activation_bits)
    order = myqasr_order(precisions, sensitivity, metric, direction)
    method = describe(f"myqasr {direction}", metric, activation_bits)
    if size == "bytes":
        return plan_in_order(precisions, order, budget_bytes, method, fitting)
    if size not in SIZE_COUNTS:
        raise InputError(f"unknown size {size!r}; choose one of {', '.join(SIZE_COUNTS)}")
    weights = precisions.weights
    others = float_parameters(source) - sum(weights.values())
    smallest = 0.0
    for bits in candidates(*_descent(precisions, order)):
        smallest = counted_bytes(weights, bits, others, size)
        if smallest <= budget_bytes:
            plan = precisions.plan(bits, f"{method}, size as {size}")
            return with_sizes(source, plan, fitting=fitting)
    raise InputError(
        f"{budget_bytes:,} bytes are impossible: with {precisions.lowest} bits for every layer "
        f"the {size} count is {smallest:,.0f}; raise the budget, or exclude fewer layers"
    )


def myqasr_order(
    precisions: Precisions, sensitivity: Sensitivity | None, metric: str, direction: Direction
) -> list[str]:
    """The layers in the order in which they lose bits.

    Raises:
        InputError, FormatError: see :func:`myqasr_plan`.
    """
    values = metric_values(sensitivity, precisions.model_sha256, precisions.names, metric)
    return ranking(values, direction)


def plan_in_order(
    precisions: Precisions,
    order: list[str],
    budget_bytes: int,
    method: str,
    fitting: Fitting | None,
) -> Plan:
    """Take bits round after round in the given order until the file fits.

    Raises:
        InputError: not even the fewest bits fit; the message says what would.
    """
    steps = list(candidates(*_descent(precisions, order)))
    return nearest_plan(precisions, steps, budget_bytes, method, fitting)


def describe(method: str, metric: str, activation_bits: ActivationBits) -> str:
    """A plan's method with what is not usual about it.

    >>> describe("myqasr ascending", "variance", "weights")
    'myqasr ascending by variance, activations as weights'
    """
    if metric != MEDIAN:
        method += f" by {metric}"
    if activation_bits == "weights":
        method += ", activations as weights"
    return method


def _descent(precisions: Precisions, order: list[str]) -> tuple[dict[str, int], list[str]]:
    """Where myQASR starts, and every bit that it may take."""
    start = dict.fromkeys(precisions.names, FLOAT_BITS)
    return start, list(in_turn(order, FLOAT_BITS - precisions.lowest))
