"""The same number of bits for every layer: the most that fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from quantkit.codecs.base import stored_bytes
from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.size import with_sizes
from quantkit.quantize.settings import QuantizeSettings

_HIGHEST_BITS = 8
_LOWEST_BITS = 1


def uniform_plan(
    source: Path, budget_bytes: int, settings: QuantizeSettings, codec: str = "bitplane"
) -> Plan:
    """The plan with the most bits per weight whose file takes at most ``budget_bytes``.

    Args:
        settings: compute, exclusions and rules; its codec is set here.
        codec: name of the codec for fewer than 8 bits.

    Raises:
        InputError: not even one bit per weight fits; the message says what would.
        ModelError: see :func:`~quantkit.quantize.quantize_model`.
    """
    settings = replace(settings, name="uniform")
    plan = with_sizes(source, replace(settings, codec=_choice(codec, _HIGHEST_BITS)), budget_bytes)
    bits = _HIGHEST_BITS
    while _size(plan) > budget_bytes:
        if bits == _LOWEST_BITS:
            raise InputError(
                f"a file of {budget_bytes:,} bytes is impossible: with {_LOWEST_BITS} bit per "
                f"weight ({codec}) it takes {_size(plan):,}; raise the budget, or exclude fewer "
                "layers"
            )
        bits = _guess(plan, codec, bits, budget_bytes)
        plan = with_sizes(source, replace(settings, codec=_choice(codec, bits)), budget_bytes)
    return plan


def _size(plan: Plan) -> int:
    if plan.predicted_bytes is None:
        raise InputError("the plan has no predicted size")
    return plan.predicted_bytes


def _choice(codec: str, bits: int) -> CodecChoice:
    return INT8 if bits == _HIGHEST_BITS else CodecChoice(codec, bits)


def _guess(plan: Plan, codec: str, bits: int, budget_bytes: int) -> int:
    """The next number of bits to try: building the file is dear, counting tensors is not."""
    now = _choice(codec, bits)
    for fewer in range(bits - 1, _LOWEST_BITS, -1):
        saved = 0
        for layer in plan.layers:
            if (layer.codec, layer.bits) == (now.name, now.bits):
                saved += stored_bytes(now.make(), layer.shape, 0)
                saved -= stored_bytes(_choice(codec, fewer).make(), layer.shape, 0)
        if _size(plan) - saved <= budget_bytes:
            return fewer
    return _LOWEST_BITS
