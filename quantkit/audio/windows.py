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


def parts_of(
    blocks: Iterable[FloatArray], places: Iterable[tuple[int, int]]
) -> Iterator[FloatArray]:
    """Some parts of a clip; no more than one and a block are in memory.

    >>> [part.tolist() for part in parts_of([np.arange(4), np.arange(4, 9)], [(1, 3), (3, 6)])]
    [[1, 2], [3, 4, 5]]

    Args:
        blocks: (steps, …) each, of any length.
        places: first step of each part, and the one behind its last, in order and apart. What lies
            behind the clip is left out.
    """
    source = iter(blocks)
    waiting: list[FloatArray] = []
    begin = end = 0
    for first, behind in places:
        while end < behind and (block := next(source, None)) is not None:
            waiting.append(block)
            end += len(block)
            while waiting and begin + len(waiting[0]) <= first:
                begin += len(waiting.pop(0))
        while waiting and begin + len(waiting[0]) <= first:
            begin += len(waiting.pop(0))
        empty = np.zeros(0, np.float32)
        joined = _joined(waiting) if waiting else empty
        yield joined[max(0, first - begin) : max(0, behind - begin)]


def _joined(blocks: list[FloatArray]) -> FloatArray:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
