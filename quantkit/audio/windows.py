"""Long clips in pieces, so that memory does not grow with a clip's length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from quantkit.arrays import FloatArray

#: A clip of up to so many seconds is taken whole.
LONGEST_SECONDS = 40.0
#: A longer one in pieces of so many; the last is between 10 and 40 seconds long.
WINDOW_SECONDS = 30.0


def whole_or_blocks(
    blocks: Iterator[FloatArray], longest: int
) -> FloatArray | Iterator[FloatArray]:
    """A clip as one array; one of more than ``longest`` steps as its blocks.

    Args:
        blocks: (steps, …) each, at least one.
    """
    waiting: list[FloatArray] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        if count > longest:
            return chain(waiting, blocks)
    return _joined(waiting)


def pieces(blocks: Iterable[FloatArray], longest: int, size: int) -> Iterator[FloatArray]:
    """The same steps in the same order, cut anew.

    >>> [len(piece) for piece in pieces([np.zeros(70), np.zeros(35)], longest=40, size=30)]
    [30, 30, 30, 15]

    Args:
        blocks: (steps, …) each, of any length.
        longest: steps of a clip that stays whole.
        size: steps of a piece of a longer one.
    """
    waiting: list[FloatArray] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        while count > longest:
            joined = _joined(waiting)
            yield joined[:size].copy()
            waiting, count = [joined[size:]], count - size
    if count:
        yield _joined(waiting)


def _joined(blocks: list[FloatArray]) -> FloatArray:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
