"""The same number of bits for every layer: the most that fit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from quantkit.codecs.base import stored_bytes
from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.size import with_sizes
from quantkit.quantize.settings import QuantizeSettings

_WIDTHS_TO_TRY = range(7, 0, -1)


def uniform_plan(
    source: Path, budget_bytes: int, settings: QuantizeSettings, codec: str = "bitplane"
) -> Plan:
    """The plan with the most bits per weight whose file takes at most ``budget_bytes``.

    Args:
        settings: compute, exclusions and rules; its codec is set here.
        codec: name of the codec for fewer than 8 bits.

    Raises:
        InputError: not even the fewest bits fit; the message says what would.
        ModelError: see :func:`~quantkit.quantize.quantize_model`.
    """
    settings = replace(settings, name="uniform")
    choices = [INT8, *_widths(codec)]
    plan = with_sizes(source, replace(settings, codec=choices[0]), budget_bytes)
    while _size(plan) > budget_bytes:
        now, *fewer = choices
        if not fewer:
            raise InputError(
                f"a file of {budget_bytes:,} bytes is impossible: with {now} for every layer it "
                f"takes {_size(plan):,}; raise the budget, or exclude fewer layers"
            )
        choices = fewer[_guess(plan, now, fewer, budget_bytes) :]
        plan = with_sizes(source, replace(settings, codec=choices[0]), budget_bytes)
    return plan


def _widths(codec: str) -> list[CodecChoice]:
    """The codec at every number of bits below 8 that it has, most first."""
    found: list[CodecChoice] = []
    for bits in _WIDTHS_TO_TRY:
        with suppress(InputError):
            found.append(CodecChoice(codec, bits))
    return found


def _size(plan: Plan) -> int:
    if plan.predicted_bytes is None:
        raise InputError("the plan has no predicted size")
    return plan.predicted_bytes


def _guess(plan: Plan, now: CodecChoice, fewer: Sequence[CodecChoice], budget_bytes: int) -> int:
    """Which of ``fewer`` to try next: building the file is dear, counting tensors is not."""
    for position, choice in enumerate(fewer):
        saved = sum(
            stored_bytes(now.make(), layer.shape, 0) - stored_bytes(choice.make(), layer.shape, 0)
            for layer in plan.layers
            if (layer.codec, layer.bits) == (now.name, now.bits)
        )
        if _size(plan) - saved <= budget_bytes:
            return position
    return len(fewer) - 1
