"""Find out by listening what lengths and masks of somebody's model mean.

A length in floating point may be a share or a number of steps, and a mask may mark the audio or the
padding. Whichever it is: where the end of a clip is given rightly, what lies before it matters, and
what lies behind it does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.errors import ModelError
from quantkit.exporting.foreign import ForeignInputs
from quantkit.exporting.foreign_model import ForeignModel
from quantkit.graph.interface import Interface
from quantkit.runtime.adapted_session import posteriors_of

# Seconds of noise, of which half is the clip and half lies behind it.
_SECONDS = 2.0
# Of what the audio changes in all, below which one reading is no better than another.
_MARGIN = 0.05
_LENGTHS = re.compile(
    r"len|size|num|count|dur|sample|frame|^(n|t|l|il|ilens|xs?_?l)$", re.IGNORECASE
)


def readings_of(interface: Interface) -> list[Interface]:
    """The ways to read lengths and mask of ``interface``, the usual one first."""
    found = [interface]
    if interface.lengths is not None and interface.relative:
        found += [replace(each, relative=False) for each in found]
    if interface.mask is not None:
        turned = [replace(each, inverted=True) for each in found]
        # As fairseq has it, where True stands for padding.
        found = turned + found if "pad" in interface.mask.name.lower() else found + turned
    return found


def most_plausible(run: ForeignModel, readings: Sequence[Interface]) -> Interface:
    """The one of ``readings`` by which only audio within the clip matters; else the first."""
    if len(readings) == 1:
        return readings[0]
    found = [_heard(run, each) for each in readings]
    total = max((before + behind for before, behind in found), default=0.0)
    scores = [before - behind for before, behind in found]
    best = max(range(len(readings)), key=lambda index: scores[index])
    return readings[best if scores[best] > scores[0] + _MARGIN * total else 0]


def require_lengths(run: ForeignModel, interface: Interface, inputs: ForeignInputs) -> None:
    """An integer of one clip is its length, or does nothing.

    Raises:
        ModelError: it changes the result, in another way than a length does.
    """
    port = interface.lengths
    if port is None or inputs.lengths is None or _LENGTHS.search(port.name):
        return
    before, behind = _heard(run, interface)
    if before - behind > _MARGIN * (before + behind):
        return
    steps = run.steps(interface, _SECONDS)
    clip = run.noise(interface, steps)
    whole, half = (_answer(run, interface, clip, length) for length in (steps, steps // 2))
    if _apart(whole, half) > _MARGIN * (before + behind):
        raise ModelError(
            f"its input {port.name} changes the result, and not as the length of a clip does; "
            "export the model with that input fixed"
        )


def _heard(run: ForeignModel, interface: Interface) -> tuple[float, float]:
    """How much the output changes with the audio before the end of a clip, and behind it."""
    steps = run.steps(interface, _SECONDS)
    end = steps // 2
    clip, other = (run.noise(interface, steps, seed) for seed in (1, 2))
    first, last = clip.copy(), clip.copy()
    first[:end], last[end:] = other[:end], other[end:]
    answer = _answer(run, interface, clip, end)
    return (
        _apart(answer, _answer(run, interface, first, end)),
        _apart(answer, _answer(run, interface, last, end)),
    )


def _answer(run: ForeignModel, interface: Interface, clip: FloatArray, length: int) -> Array | None:
    """The posteriors of all frames; None where the model fails."""
    try:
        made = run.all_outputs(interface, clip, length)
    except ModelError:
        return None
    return posteriors_of(interface, made[interface.output.name]).astype(np.float64)


def _apart(one: Array | None, other: Array | None) -> float:
    if one is None or other is None:
        return 0.0
    count = min(one.shape[1], other.shape[1])
    change = np.abs(one[:, :count] - other[:, :count])
    return float(change.mean()) if change.size and np.isfinite(change).all() else 0.0
