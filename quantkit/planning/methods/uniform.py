"""The same number of bits for every layer: the most that fit."""

from __future__ import annotations

from pathlib import Path

from quantkit.graph.plan import Plan
from quantkit.planning.methods.nearest import nearest_plan
from quantkit.planning.methods.precisions import INTEGER_BITS, ActivationBits, Precisions
from quantkit.quantization.choices.fitting import Fitting
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.sensitivity.table import Sensitivity


def uniform_plan(
    source: Path,
    budget_bytes: int,
    sensitivity: Sensitivity | None,
    settings: QuantizeSettings,
    *,
    codec: str = "bitplane",
    activation_bits: ActivationBits = None,
    fitting: Fitting | None = None,
) -> Plan:
    """The plan with the most bits per weight whose file takes at most ``budget_bytes``.

    Args:
        sensitivity: is not looked at.
        settings: compute, exclusions and rules; its codec is set here.
        codec: name of the codec for fewer than 8 bits.
        activation_bits: see :data:`~quantkit.planning.methods.precisions.ActivationBits`.
        fitting: what the plan says about how its numbers are found.

    Raises:
        InputError: not even the fewest bits fit; the message says what would.
        ModelError: see :func:`~quantkit.quantization.quantize_model`.
    """
    precisions = Precisions(source, settings, codec, activation_bits)
    steps = [
        dict.fromkeys(precisions.names, bits)
        for bits in range(INTEGER_BITS, precisions.lowest - 1, -1)
    ]
    return nearest_plan(precisions, steps, budget_bytes, "uniform", fitting)
