"""The bits of another plan dealt out at random: what it is worth to know which layer gets them."""

from __future__ import annotations

import math
import random
from pathlib import Path

from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.methods.bit_sequences import Bits
from quantkit.planning.methods.myqasr import describe, myqasr_plan
from quantkit.planning.methods.nearest import predicted
from quantkit.planning.methods.ordering import MEDIAN, Direction
from quantkit.planning.methods.precisions import FLOAT_BITS, ActivationBits, Precisions
from quantkit.planning.size import with_sizes
from quantkit.quantization.choices.fitting import Fitting
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.sensitivity.table import Sensitivity

# Of so many deals the one that leaves least of the budget unused is taken: layers are of different
# sizes, and a plan of fewer bytes would be no fair comparison.
_DEALS = 500


def shuffled_plan(
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
    base: Plan | None = None,
    seed: int = 0,
) -> Plan:
    """The bits of a plan, each for a layer that was drawn at random.

    Args:
        settings, codec, activation_bits, fitting, metric, direction: see
            :func:`~quantkit.planning.methods.myqasr.myqasr_plan`.
        base: whose bits are dealt out; None: myQASR's for the same budget.
        seed: the same one gives the same plan.

    Raises:
        InputError, FormatError, ModelError: see there, and where no deal fits.
    """
    precisions = Precisions(source, settings, codec, activation_bits)
    if base is None:
        base = myqasr_plan(
            source, budget_bytes, sensitivity, settings,
            codec=codec, activation_bits=activation_bits, fitting=fitting,
            metric=metric, direction=direction,
        )  # fmt: skip
        method = describe(f"shuffled {seed} of myqasr {direction}", metric, activation_bits)
    else:
        method = describe(f"shuffled {seed} of {base.method}", MEDIAN, activation_bits)
    bits = {row.name: min(math.ceil(row.bits), FLOAT_BITS) for row in base.layers}
    for deal in _deals(precisions, [bits[name] for name in precisions.names], budget_bytes, seed):
        plan = with_sizes(source, precisions.plan(deal, method), budget_bytes, fitting)
        if predicted(plan) <= budget_bytes:
            return plan
    raise InputError(
        f"none of {_DEALS} random deals of these bits fits {budget_bytes:,} bytes; raise the "
        "budget, or take another seed"
    )


def _deals(precisions: Precisions, hand: list[int], budget_bytes: int, seed: int) -> list[Bits]:
    """Different deals that should fit, the one of the largest file first."""
    generator = random.Random(seed)
    undealt = dict(zip(precisions.names, hand, strict=True))
    exact = predicted(with_sizes(precisions.source, precisions.plan(undealt, "undealt")))
    # The estimate is off by about the same for all deals.
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
