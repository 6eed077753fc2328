"""Bits interpolated linearly between the least and the greatest value of a metric."""

from __future__ import annotations

from pathlib import Path

from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.methods.bit_sequences import by_value, candidates
from quantkit.planning.methods.myqasr import describe
from quantkit.planning.methods.nearest import nearest_plan
from quantkit.planning.methods.ordering import MEDIAN, Direction, check_direction, metric_values
from quantkit.planning.methods.precisions import INTEGER_BITS, ActivationBits, Precisions
from quantkit.quantization.choices.fitting import Fitting
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.sensitivity.table import Sensitivity


def linear_plan(
    source: Path,
    budget_bytes: int,
    sensitivity: Sensitivity | None,
    settings: QuantizeSettings,
    *,
    codec: str = "bitplane",
    activation_bits: ActivationBits = None,
    fitting: Fitting | None = None,
    metric: str = MEDIAN,
    direction: Direction = "descending",
    lowest: int = 1,
    highest: int = INTEGER_BITS,
) -> Plan:
    """The min-max baseline of the myQASR paper, shifted until the file fits.

    See :func:`~quantkit.planning.methods.bit_sequences.by_value` for the interpolation.

    Args:
        settings: compute, exclusions and rules; its codec is set here.
        codec: name of the codec for fewer than 8 bits.
        activation_bits: see :data:`~quantkit.planning.methods.precisions.ActivationBits`.
        fitting: what the plan says about how its numbers are found.
        metric: of the sensitivity table.
        direction: ``descending``: the greatest value gets the fewest bits, as in the paper;
            ``ascending``: the least.
        lowest, highest: bits that the extremes get where nothing is shifted, and that none leaves.

    Raises:
        InputError, FormatError, ModelError: see
            :func:`~quantkit.planning.methods.myqasr.myqasr_plan`, and for ends that are no range
            within 1 to 8.
    """
    if not 1 <= lowest < highest <= INTEGER_BITS:
        raise InputError(
            f"bits from {lowest} to {highest} are no range; choose ends from 1 to {INTEGER_BITS}"
        )
    check_direction(direction)
    precisions = Precisions(source, settings, codec, activation_bits)
    values = metric_values(sensitivity, precisions.model_sha256, precisions.names, metric)
    if direction == "descending":
        values = {name: -value for name, value in values.items()}
    start = dict.fromkeys(precisions.names, highest)
    steps = list(candidates(start, by_value(values, lowest, highest)))
    method = describe(f"linear {direction}", metric, activation_bits)
    return nearest_plan(precisions, steps, budget_bytes, method, fitting)
