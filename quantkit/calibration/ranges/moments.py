"""Means and mean squares of channels from a stream of clips."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Moments:
    """Mean and mean square of each channel: what the weights that meet it are multiplied by.

    The mean square says how much an error in such a weight matters: it is the diagonal of the
    layer's Hessian under squared output error, up to a factor (LeCun, Denker and Solla 1990,
    "Optimal Brain Damage"; Frantar et al. 2022, "GPTQ", equation 3).

    Args:
        axis: dimension of the channels.
    """

    def __init__(self, axis: int) -> None:
        self.axis = axis
        self.sums: npt.NDArray[np.float64] | None = None
        self.squares: npt.NDArray[np.float64] | None = None
        self.count = 0

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Take in finite values of any shape that has ``axis``."""
        rows = np.moveaxis(values, self.axis, 0).reshape(values.shape[self.axis], -1)
        sums = rows.sum(axis=1, dtype=np.float64)
        squares = np.einsum("ci,ci->c", rows, rows, dtype=np.float64)
        self.sums = sums if self.sums is None else self.sums + sums
        self.squares = squares if self.squares is None else self.squares + squares
        self.count += values.size // max(1, values.shape[self.axis])

    def mean(self) -> npt.NDArray[np.float32] | None:
        """(channels,), or None when nothing was seen."""
        return self._per_value(self.sums)

    def mean_square(self) -> npt.NDArray[np.float32] | None:
        """(channels,), or None when nothing was seen."""
        return self._per_value(self.squares)

    def _per_value(self, total: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float32] | None:
        if total is None or not self.count:
            return None
        return (total / self.count).astype(np.float32)
