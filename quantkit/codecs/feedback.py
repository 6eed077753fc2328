"""Second moments, factorized: how the error of one rounded weight spreads to those after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky

from quantkit.arrays import Doubles, FloatArray, IndexArray

#: Added to the diagonal of the matrix, as a share of its mean; the next one is used if the
#: factorization fails.
_DAMPING = (0.01, 0.1, 1.0)
#: Columns whose errors reach those of other blocks in one matrix product.
_BLOCK = 128
#: Columns of a block that are updated together.
_SPAN = 16


class SecondMoments:
    """E[x xᵀ] of the inputs of a layer's channels; factorized once for all codecs. Thread-safe.

    Args:
        matrices: (inputs, inputs) or (groups, inputs, inputs); not changed.
    """

    def __init__(self, matrices: FloatArray) -> None:
        self.matrices = matrices if matrices.ndim == 3 else matrices[None]
        self._feedbacks: dict[int, tuple[Feedback, ...] | None] = {}
        self._locks: dict[int, threading.Lock] = {}
        self._lock = threading.Lock()

    def feedbacks(self, group: int = 1) -> tuple[Feedback, ...] | None:
        """How errors spread in each group of channels.

        None if the moments are not finite, not positive semidefinite, or all 0.

        Args:
            group: see :class:`~quantkit.codecs.compensated.Grid`.
        """
        with self._lock:
            lock = self._locks.setdefault(group, threading.Lock())
        # One lock per group size, so that two can be factorized in parallel.
        with lock:
            if group not in self._feedbacks:
                self._feedbacks[group] = self._factorize(group)
            return self._feedbacks[group]

    def _factorize(self, group: int) -> tuple[Feedback, ...] | None:
        diagonals = np.diagonal(self.matrices, axis1=1, axis2=2)
        loudness = float(diagonals.mean(dtype=np.float64))
        if not 0 < loudness < np.inf:
            return None
        found = []
        for each in self.matrices:
            feedback = Feedback.of(each, loudness, group)
            if feedback is None:
                return None
            found.append(feedback)
        return tuple(found)


@dataclass(frozen=True)
class Feedback:
    """H = L Λ Lᵀ for the inputs of one group of channels, sorted; the last is rounded first.

    Args:
        order: the column that corresponds to each row of the factor.
        factor: Lᵀ, with ones on the diagonal.
        costs: the diagonal of Λ.
        group: see :class:`~quantkit.codecs.compensated.Grid`.
        moments: H before it was sorted, scaled and damped.
        loudness: the factor it was divided by.
        damping: added to its diagonal afterwards.
    """

    order: IndexArray
    factor: FloatArray
    costs: FloatArray
    group: int
    moments: FloatArray
    loudness: float
    damping: float

    @classmethod
    def of(cls, moments: FloatArray, loudness: float, group: int = 1) -> Feedback | None:
        """Factorize ``moments``, damped; None if they are not positive semidefinite.

        Args:
            moments: (inputs, inputs), of any magnitude; not changed.
            loudness: the mean of the diagonal, for all groups of channels: it becomes 1.
            group: see :class:`~quantkit.codecs.compensated.Grid`.
        """
        order = _ascending(np.diagonal(moments).astype(np.float64), group)
        for damping in _DAMPING:
            sorted_moments = moments[order].take(order, axis=1)
            sorted_moments /= np.float32(loudness)
            sorted_moments[np.diag_indices_from(sorted_moments)] += np.float32(damping)
            try:
                # Symmetric, so the transposed view is the same matrix in LAPACK's own order.
                factor = cholesky(
                    sorted_moments.T, lower=True, overwrite_a=True, check_finite=False
                ).T
            except LinAlgError:
                continue
            diagonal_root = np.diagonal(factor).copy()
            factor /= diagonal_root[:, None]
            costs = np.square(diagonal_root)
            return cls(order, factor, costs, group, moments, loudness, damping)
        return None

    def masses(self) -> FloatArray:
        """Λ in the order of the columns."""
        found = np.empty_like(self.costs)
        found[self.order] = self.costs
        return found

    def geometric_mass(self) -> float:
        """The geometric mean of Λ."""
        return float(np.exp(np.log(self.costs).mean(dtype=np.float64)))

    def diagonal(self) -> FloatArray:
        """Of H, damped, in the order of the columns."""
        found: FloatArray = np.diagonal(self.moments) / np.float32(self.loudness)
        return found + np.float32(self.damping)

    def spread(self, differences: FloatArray) -> FloatArray:
        """Lᵀ e of each channel; (inputs, channels), rows as those of the factor.

        Args:
            differences: (channels, inputs).
        """
        sorted_rows = np.ascontiguousarray(differences.T[self.order])
        for start in range(0, len(sorted_rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            sorted_rows[block] = self.factor[block, start:] @ sorted_rows[start:]
        return sorted_rows

    def rows(self, some: slice) -> FloatArray:
        """Rows of H, sorted: (rows, inputs)."""
        # Twice as fast as indexing both dimensions at once.
        found: FloatArray = self.moments[self.order[some]].take(self.order, axis=1)
        found /= np.float32(self.loudness)
        found[np.arange(len(found)), np.arange(some.start, some.stop)] += np.float32(self.damping)
        return found

    def square(self, one: FloatArray, other: FloatArray) -> Doubles:
        """The product of two spread differences under Λ: (channels,)."""
        total: Doubles = np.einsum(
            "ic,ic,i->c", one, other, self.costs, dtype=np.float64, optimize=False
        )
        return total

    def blocks(self) -> Iterator[tuple[slice, list[slice]]]:
        """Rows of the factor, the last first: blocks, and spans of which a block consists."""
        size = self.group if self.group > 1 else _SPAN
        inputs = len(self.order)
        # The last group of a channel may be a short one, anywhere in the order.
        sizes = np.full(-(-inputs // size), size)
        short = -inputs % size
        if short:
            where = int(np.flatnonzero(self.order // size == len(sizes) - 1)[0]) // size
            sizes[where if self.group > 1 else 0] -= short
        ends = np.cumsum(sizes)
        spans = [slice(int(end - count), int(end)) for end, count in zip(ends, sizes, strict=True)]
        many = max(_BLOCK // size, 1)
        for last in range(len(spans), 0, -many):
            some = spans[max(last - many, 0) : last]
            yield slice(some[0].start, some[-1].stop), some[::-1]


def _ascending(diagonal: Doubles, group: int) -> IndexArray:
    """Columns by ascending diagonal; groups stay together, ordered by their sum."""
    if group == 1:
        return np.argsort(diagonal, kind="stable")
    filled = np.pad(diagonal, (0, -diagonal.size % group), constant_values=-1.0)
    by_group = filled.reshape(-1, group)
    within = np.argsort(by_group, axis=1, kind="stable")
    groups = np.argsort(np.maximum(by_group, 0).sum(axis=1), kind="stable")
    order: IndexArray = (within + np.arange(len(by_group))[:, None] * group)[groups].reshape(-1)
    return order[order < diagonal.size]
