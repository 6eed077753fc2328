"""Which of many slices got worse, so that false alarms over all of them together are rare.

For clip *i* let ``e_i`` be how much worse it got than is tolerated. Where nothing got worse, the
sign of each ``e_i`` could as well be the other one. So the statistic of a slice,
``T = Σ e_i / √Σ e_i²`` over its clips, is compared with its values under random signs, one sign per
clip for all slices and models at once. This is a randomization test: exact where the ``e_i`` are
symmetric about zero, and asymptotically right for any distribution of mean zero (Romano, "On the
behavior of randomization tests without a group invariance assumption", JASA 85, 1990).

Many slices are corrected for by the step-down maximum of the statistics (Westfall & Young,
*Resampling-Based Multiple Testing*, 1993, algorithm 4.1; Romano & Wolf, "Exact and approximate
stepdown methods for multiple hypothesis testing", JASA 100, 2005): the p-value of the largest ``T``
is the share of random signs under which any slice reaches it, that of the next one the share under
which any but the first does. The probability that a single slice is called worse by mistake is then
at most the threshold, however the slices overlap. What they share is not corrected for twice, as
Bonferroni's and Holm's methods would do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantkit.arrays import Doubles

#: Random signs; the least p-value is one in so many and one.
DRAWS = 9_999
_NUMBERS_AT_ONCE = 1 << 22


def adjusted_p_values(
    columns: Sequence[tuple[Sequence[int], Doubles]], clips: int, seed: int = 0, draws: int = DRAWS
) -> list[float]:
    """The p-value of each column against "not worse", corrected for all of them.

    >>> worse, same = np.ones(20), np.array([1.0, -1.0] * 10)
    >>> found = adjusted_p_values([(range(20), worse), (range(20), same)], 20)
    >>> found[0] < 0.001, found[1] > 0.2
    (True, True)

    Args:
        columns: of each slice and model the positions of its clips, and their ``e_i``.
        clips: how many clips there are in all.
        seed: the same one gives the same numbers.
        draws: random signs; see :data:`DRAWS`.
    """
    if not columns:
        return []
    scaled = [_scaled(values) for _, values in columns]
    observed = np.array([values.sum() for values in scaled])
    order = np.argsort(-observed, kind="stable")
    matrix = np.zeros((clips, len(columns)), np.float32)
    for place, column in enumerate(order):
        matrix[np.asarray(columns[column][0], np.intp), place] = scaled[column]
    ranked = observed[order]
    generator = np.random.default_rng(seed)
    reached = np.ones(len(columns), np.int64)
    at_once = max(1, _NUMBERS_AT_ONCE // max(clips, len(columns)))
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        signs = 2.0 * generator.integers(0, 2, (count, clips), np.int8).astype(np.float32) - 1.0
        drawn = signs @ matrix
        # From the least on, so that each holds the largest of itself and those behind.
        largest = np.maximum.accumulate(drawn[:, ::-1], axis=1)[:, ::-1]
        # Float32 sums of the observed signs differ from the observed sum by rounding.
        reached += (largest >= ranked - 1e-5).sum(axis=0)
    shares = np.maximum.accumulate(reached / (draws + 1))
    found = np.empty(len(columns))
    found[order] = shares
    return [float(share) for share in found]


def _scaled(values: Doubles) -> Doubles:
    """With squares that add up to one; zeros stay zeros."""
    norm = float(np.sqrt(np.square(values).sum()))
    return values / norm if norm > 0.0 else np.zeros_like(values)
