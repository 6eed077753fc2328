"""Which channels a layer needs of what it reads, and its weights for these alone.

A layer y = W x + b reads n channels x, of which n' are to be kept: S. The others are predicted from
them, x_D ≈ A x_S + c, and the prediction is a part of the layer that reads them:

    W'_S = W_S + W_D A,   b' = b + W_D c,   A = C_DS C_SS⁻¹,   c = m_D − A m_S,

with the mean m and the covariance C of x over unlabelled audio. That is channel pruning by least
squares (Y. He, X. Zhang and J. Sun, "Channel Pruning for Accelerating Very Deep Neural Networks",
2017; J.-H. Luo, J. Wu and W. Lin, "ThiNet", 2017). Where zeros stand beside real values, as those
of padding and of masks, c would be wrong: there m is zero and C the second moments about zero,
which zeros do not change, and c = 0.

S is found greedily. With R the covariance of what the channels chosen so far do not predict, and
the metric G = Σ_k W_kᵀ W_k of the layer over its taps, each step takes the channel i that lessens
the expected error tr(G R) most, by (R G R)_ii / R_ii: column subset selection (A. Farahat, A.
Ghodsi and M. Kamel, "Efficient greedy feature selection for unsupervised learning", 2013). So a
channel that is constant, or like another, or that the layer hardly weighs, goes first, and of fewer
channels each is among those of more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from quantkit.arrays import Doubles, FloatArray
from quantkit.structure.low_rank import Covariance

# Share of the mean of the covariance's diagonal that is added to it.
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class FewerInputs:
    """The weights of the layer that reads fewer channels.

    Args:
        kept: (channels,) in ascending order: S.
        matrix: (output channels, kept channels · taps): W'.
        shift: (output channels,): b' − b.
    """

    kept: np.ndarray
    matrix: FloatArray
    shift: FloatArray

    def on_all(self, channels: int) -> FloatArray:
        """W' for an input with all ``channels``: (output channels, channels · taps)."""
        taps = self.matrix.reshape(len(self.matrix), len(self.kept), -1)
        found = np.zeros((len(taps), channels, taps.shape[2]), np.float32)
        found[:, self.kept] = taps
        return found.reshape(len(found), -1)


class Selection:
    """Channels of one layer's input, the most needed first.

    >>> twice = Covariance(np.zeros(3), np.array([[1.0, 2, 0], [2, 4, 0], [0, 0, 1]]))
    >>> Selection(np.ones((1, 3), np.float32), twice).fewer(2).matrix.round(3).tolist()
    [[1.5, 1.0]]

    Args:
        matrix: (output channels, channels · taps): W.
        inputs: x; with a mean of zero, about zero.
    """

    def __init__(self, matrix: FloatArray, inputs: Covariance) -> None:
        self._taps = matrix.astype(np.float64).reshape(len(matrix), len(inputs.mean), -1)
        count = len(inputs.mean)
        ridge = _LEAST_VARIANCE * max(float(np.trace(inputs.values)), 1e-30) / count
        self._covariance = inputs.values + ridge * np.eye(count)
        self._mean = inputs.mean

    @property
    def channels(self) -> int:
        """Of the input."""
        return len(self._mean)

    @cached_property
    def order(self) -> np.ndarray:
        """All channels, in the order in which they are chosen."""
        flat = self._taps.transpose(1, 0, 2).reshape(len(self._mean), -1)
        with threadpool_limits(1, user_api="blas"):
            metric = flat @ flat.T
            return _greedy(self._covariance, metric)

    def fewer(self, count: int) -> FewerInputs:
        """The layer that reads the ``count`` most needed channels."""
        return self.keeping(self.order[:count])

    def keeping(self, channels: npt.ArrayLike) -> FewerInputs:
        """The layer that reads these channels."""
        kept = np.sort(np.asarray(channels))
        left = np.setdiff1d(np.arange(len(self._mean)), kept)
        with threadpool_limits(1, user_api="blas"):
            chosen = self._covariance[np.ix_(kept, kept)]
            predicted = np.linalg.solve(chosen, self._covariance[np.ix_(kept, left)]).T
            matrix = self._taps[:, kept] + np.einsum(
                "odk,ds->osk", self._taps[:, left], predicted, optimize=True
            )
            constant = self._mean[left] - predicted @ self._mean[kept]
            shift = self._taps[:, left].sum(axis=2) @ constant
        return FewerInputs(
            kept,
            np.ascontiguousarray(matrix.reshape(len(matrix), -1), np.float32),
            shift.astype(np.float32),
        )


def _greedy(covariance: Doubles, metric: Doubles) -> np.ndarray:
    """Channels by how much each lessens the error that those before it leave."""
    left = covariance.copy()
    felt = left @ metric
    gains = np.einsum("ij,ji->i", felt, left)
    floor = 1e-12 * max(float(left.diagonal().max()), 1e-30)
    order: list[int] = []
    free = np.ones(len(left), bool)
    for _ in range(len(left)):
        variances = np.maximum(left.diagonal(), floor)
        channel = int(np.argmax(np.where(free, gains / variances, -np.inf)))
        order.append(channel)
        free[channel] = False
        column = left[:, channel] / np.sqrt(variances[channel])
        # Of R' = R − u uᵀ: the diagonal of R' G R', and R' G.
        heard = metric @ column
        through = felt @ column
        gains = gains - 2.0 * column * through + column**2 * float(column @ heard)
        left -= np.outer(column, column)
        felt -= np.outer(column, heard)
    return np.array(order)
