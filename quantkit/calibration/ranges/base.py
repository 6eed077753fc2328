"""What a range is, and what finds one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Range:
    """Lowest and highest value that the grid of one tensor has to hold."""

    lowest: float
    highest: float


@dataclass(frozen=True)
class StoredGrid(Range):
    """A range with the grid that a file has over it.

    Args:
        scale: of the grid, a float32 number.
        zero_point: of levels that are counted from 0.
        bits: of these levels.
    """

    scale: float = 1.0
    zero_point: int = 0
    bits: int = 8

    @classmethod
    def of(cls, scale: float, zero_point: int, bits: int = 8) -> StoredGrid:
        """The grid of ``2**bits`` levels with this scale and zero point."""
        highest = (2**bits - 1 - zero_point) * scale
        return cls(-zero_point * scale, highest, scale, zero_point, bits)

    def of_bits(self, bits: int) -> StoredGrid:
        """The same with so many levels only: the others are cut off."""
        return self.of(self.scale, self.zero_point, bits)


class RangeTracker(Protocol):
    """Sees the values of one tensor clip by clip and ends with a range."""

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Take in finite values of any shape; none at all is allowed."""

    def result(self) -> Range:
        """The range of everything seen so far; it holds zero."""
