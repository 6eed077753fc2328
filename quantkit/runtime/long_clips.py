"""A model that gives a row for every few steps of its input, on clips of any length.

A long clip is computed in windows that overlap. Of each window those rows are kept that have enough
context on both sides. Where a model sees no further than the context, as convolutions do, the rows
are those of the whole clip; where it sees everything, as attention does, a window is all it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.windows import LONGEST_SECONDS, WINDOW_SECONDS

#: On each side of the rows that are kept of a window, unless the clip begins or ends there.
CONTEXT_SECONDS = 5.0

#: From the steps of one clip, (steps, …), to its rows, (rows, labels).
Run = Callable[[FloatArray], FloatArray]

# Two lengths of input that differ by so many hops of 10 ms tell how many steps make a row: every
# stride of a recogniser divides it.
_COMMON_HOPS = 1_440
_HOP_SECONDS = 0.01


@dataclass
class LongClips:
    """Runs a model in windows.

    Args:
        run: on one clip.
        steps_per_second: of the model's input.
    """

    run: Run
    steps_per_second: float
    _stride: int | None = None

    @property
    def longest(self) -> int:
        """Steps of a clip that is computed at once."""
        return round(LONGEST_SECONDS * self.steps_per_second)

    def rows(self, blocks: Iterable[FloatArray]) -> FloatArray:
        """The rows of a clip that comes in blocks, (rows, labels).

        A model whose rows do not follow evenly from its steps gets the clip at once.

        Args:
            blocks: (steps, …) each, at least one.
        """
        return np.concatenate([*self._rows(blocks)])

    def _rows(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        # Steps of the clip in front of the buffer, and in front of the next row.
        before = begin = 0
        buffer: FloatArray | None = None
        for block in blocks:
            buffer = block if buffer is None else np.concatenate((buffer, block))
            while before + len(buffer) - begin > self.longest and (stride := self._steps(buffer)):
                context = self._whole_rows(CONTEXT_SECONDS, stride)
                end = begin + self._whole_rows(WINDOW_SECONDS, stride)
                rows = self.run(buffer[: end + context - before])
                # A view would keep the rows of the context in memory.
                yield rows[(begin - before) // stride : (end - before) // stride].copy()
                begin = end
                spent = max(0, begin - context - before)
                buffer, before = buffer[spent:], before + spent
        if buffer is not None:
            yield self.run(buffer)[(begin - before) // (self._stride or 1) :]

    def _whole_rows(self, seconds: float, stride: int) -> int:
        """Steps of the fewest rows that last ``seconds``."""
        return -(-round(seconds * self.steps_per_second) // stride) * stride

    def _steps(self, clip: FloatArray) -> int:
        """Steps for a row, found out by running; 0 where rows do not follow evenly."""
        if self._stride is None:
            hop = max(1, round(_HOP_SECONDS * self.steps_per_second))
            more, fewest = _COMMON_HOPS * hop, _COMMON_HOPS // 2 * hop
            rows = len(self.run(clip[: fewest + more])) - len(self.run(clip[:fewest]))
            self._stride = 0 if rows < 1 or more % rows else more // rows
        return self._stride
