"""myQASR's order the wrong way round: what the order is worth."""

from __future__ import annotations

from pathlib import Path

from quantkit.graph.plan import Plan
from quantkit.planning.methods.myqasr import describe, myqasr_order, plan_in_order
from quantkit.planning.methods.ordering import MEDIAN, Direction
from quantkit.planning.methods.precisions import ActivationBits, Precisions
from quantkit.quantization.choices.fitting import Fitting
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.sensitivity.table import Sensitivity


def reversed_plan(
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
) -> Plan:
    """The plan of :func:`~quantkit.planning.methods.myqasr.myqasr_plan` with its order reversed.

    Layers are of different sizes, so bits that merely changed places would miss the budget: the
    rounds are gone anew. That makes it, but for the name, myQASR in the other direction.

    Args, raises: see there; ``direction`` is the one that is reversed.
    """
    precisions = Precisions(source, settings, codec, activation_bits)
    order = myqasr_order(precisions, sensitivity, metric, direction)[::-1]
    method = describe(f"reversed {direction}", metric, activation_bits)
    return plan_in_order(precisions, order, budget_bytes, method, fitting)
