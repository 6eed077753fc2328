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


class RangeTracker(Protocol):
    """Sees the values of one tensor clip by clip and ends with a range."""

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Take in finite values of any shape; none at all is allowed."""

    def result(self) -> Range:
        """The range of everything seen so far; it holds zero."""
