"""Colours of the plots, as names of variables of the style sheet."""

from __future__ import annotations

from collections.abc import Iterable

from quantkit.graph.plan import COMPUTES, Compute
from quantkit.report.plotting import MODEL_COLOURS

#: The most bits of each step of the scale; the last one is for floating point.
BIT_STEPS: tuple[float, ...] = (1.6, 2, 3, 4, 5, 6, 8, 32)

_COMPUTES: dict[Compute, int] = {"float32": 0, "static": 2, "dynamic": 4, "matmul-nbits": 6}
_FIRST_CODEC = 1


def step_of(bits: float) -> int:
    """The step of the scale for a number of bits."""
    return next(step for step, most in enumerate(BIT_STEPS) if bits <= most or most == 32)


def bits_label(step: int) -> str:
    """Label of a step of the scale.

    >>> [bits_label(step) for step in (0, 3, 6, 7)]
    ['under 2 bits', '4 bits', '7–8 bits', '16–32 bits']
    """
    if step == 0:
        return "under 2 bits"
    least, most = BIT_STEPS[step - 1] + 1, BIT_STEPS[step]
    if step == len(BIT_STEPS) - 1:
        least = 16
    return f"{most:g} bits" if step == 1 or least == most else f"{least:g}–{most:g} bits"


def compute_colours(computes: Iterable[Compute]) -> dict[Compute, int]:
    """The model colour of each compute that occurs, in the usual order."""
    found = set(computes)
    return {compute: _COMPUTES[compute] for compute in COMPUTES if compute in found}


def codec_colours(codecs: Iterable[str]) -> dict[str, int]:
    """The model colour of each codec that occurs, by first occurrence: odd ones, then even ones.

    Computes have even ones, so that few codecs share no colour with them.
    """
    order = [*range(_FIRST_CODEC, MODEL_COLOURS, 2), *range(0, MODEL_COLOURS, 2)]
    names = list(dict.fromkeys(codecs))
    return {name: order[i % MODEL_COLOURS] for i, name in enumerate(names)}
