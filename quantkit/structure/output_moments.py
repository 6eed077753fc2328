"""Mean and covariance of what layers compute, from a stream of clips."""

from __future__ import annotations

import numpy as np

from quantkit.arrays import Doubles, FloatArray
from quantkit.structure.low_rank import Covariance


class ChannelMoments:
    """Sums over the positions of one value, and of the products of all pairs of its channels.

    Memory holds (channels, channels) doubles.

    Args:
        axis: dimension of the channels.
    """

    def __init__(self, axis: int) -> None:
        self.axis = axis
        self.count = 0
        self._sums: Doubles | None = None
        self._products: Doubles | None = None

    def update(self, values: FloatArray) -> None:
        """Take in the finite values of one clip."""
        channels = values.shape[self.axis]
        rows = np.moveaxis(values, self.axis, 0).reshape(channels, -1).astype(np.float64)
        sums, products = rows.sum(axis=1), rows @ rows.T
        self._sums = sums if self._sums is None else self._sums + sums
        self._products = products if self._products is None else self._products + products
        self.count += rows.shape[1]

    def covariance(self, *, centred: bool) -> Covariance:
        """Of the channels; around zero, with a mean of zero, where it is not ``centred``.

        The count of positions must not be zero.
        """
        assert self._sums is not None
        assert self._products is not None
        mean = self._sums / self.count
        about_zero = self._products / self.count
        if not centred:
            return Covariance(np.zeros_like(mean), about_zero)
        return Covariance(mean, about_zero - np.outer(mean, mean))
