"""Decoders that are folded in rounds, so that the intermediates of few are in memory at once.

ONNX Runtime keeps what constant folding computes until its pass over the graph ends, and then
frees what nothing reads. It makes up to ten passes, as long as one changes the graph. So a decoder
whose input becomes constant in the second pass is folded when the intermediates of the first are
gone.

What makes a pass late is a chain that standard optimisations fold one link per pass. A link
computes zero as ``QuantizeLinear(Abs(DequantizeLinear(0)))``. A ``DequantizeLinear`` is folded only
together with a single node behind it and the ``QuantizeLinear`` behind that. Here ``Abs`` has a
second reader, a ``Shape``, which is itself folded in the pass, but is visited later. So the link is
folded in the next pass. It ends with a zero whose shape is the sum of both. The next link begins
with that one, so its own ``Shape`` is not known before.

Packed bytes are joined to the zero of their round by bitwise or. Where ONNX Runtime folds the chain
at once, only memory is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from quantkit.codecs.base import DecodeBuilder, Part

#: Passes in which decoders are folded, of ten that there are.
ROUNDS = 6
#: Weights of a file from which on rounds save enough memory for the bytes that they take.
_FEWEST_WEIGHTS = 16_000_000
# What joining the pieces of a weight takes, as a share of what decoding them does: it is copied
# once or twice, and decoders compute three to six times as many bytes as there are weights.
_JOINING = 0.5


def rounds_for(weights: int) -> int:
    """How many rounds to fold a file of so many weights in; 1: all at once."""
    return ROUNDS if weights >= _FEWEST_WEIGHTS else 1


def allotted(weights: Sequence[Sequence[int]], rounds: int) -> list[list[int]]:
    """The round, from 0, of each piece of each weight, so that all take about equally long.

    The largest weight goes to the least loaded round, then the next one (Graham, "Bounds on
    multiprocessing timing anomalies", 1969). Early rounds get more than late ones, because the
    results of all rounds stay. Before them, pieces of one weight go to one round after the other,
    and the round of the last piece counts as loaded by joining them.

    >>> allotted([[1], [9], [5], [5]], 2)
    [[0], [0], [1], [1]]
    >>> allotted([[3, 3], [2], [1]], 2)
    [[0, 1], [0], [0]]

    Args:
        weights: sizes of the pieces of each weight, in any unit.
    """
    loads = [0] * rounds
    found: list[list[int]] = [[0] for _ in weights]
    for index, pieces in enumerate(weights):
        if len(pieces) == 1:
            continue
        found[index] = [place * rounds // len(pieces) for place in range(len(pieces))]
        for number, size in zip(found[index], pieces, strict=True):
            loads[number] += size
        loads[found[index][-1]] += round(_JOINING * sum(pieces))
    whole = [index for index, pieces in enumerate(weights) if len(pieces) == 1]
    for index in sorted(whole, key=lambda i: (-weights[i][0], i)):
        found[index] = [loads.index(min(loads))]
        loads[found[index][0]] += weights[index][0]
    if len(whole) < len(weights):
        return found
    place = {old: new for new, old in enumerate(sorted(range(rounds), key=lambda r: -loads[r]))}
    return [[place[each] for each in pieces] for pieces in found]


def round_zeros(rounds: int, builder: DecodeBuilder) -> list[str]:
    """Append the chain; returns for each round a uint8 value of one zero."""
    zero = builder.shared("uint8.zero", np.zeros(1, np.uint8))
    one = builder.shared("float.one", np.float32(1))
    zeros = [zero]
    for _ in range(1, rounds):
        value = builder.add("Abs", builder.add("DequantizeLinear", zeros[-1], one))
        shape = builder.add("Shape", value)
        number = builder.add("QuantizeLinear", value, one)
        number = builder.add("Cast", number, to=TensorProto.INT64)
        zeros.append(builder.add("Expand", zero, builder.add("Add", number, shape)))
    return zeros


def is_delayed(part: Part) -> bool:
    """Whether a stored tensor is joined to the zero of its round: those that decoders look up."""
    return bool(part.data_type == TensorProto.UINT8)


def delayed(name: str, zero: str, builder: DecodeBuilder) -> str:
    """Append the node that makes the bytes ``name`` constant in the round of ``zero`` only."""
    return builder.add("BitwiseOr", name, zero)
