"""Edit distances between hypothesis and reference, and confidence intervals of their means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import Levenshtein
import numpy as np
import numpy.typing as npt

from quantkit.errors import InputError

# Resamples are drawn in blocks to limit memory for large corpora.
_DRAWS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class ErrorCounts:
    """Edits of one best alignment. Counts of several utterances add up with ``+``.

    >>> counts = error_counts("a cat sat".split(), "a bat sat down".split())
    >>> (counts.insertions, counts.deletions, counts.substitutions, counts.errors)
    (1, 0, 1, 2)
    >>> round(counts.rate, 3)
    0.667

    Args:
        insertions: units that are only in the hypothesis.
        deletions: units that are only in the reference.
        substitutions: units of the reference that were replaced.
        reference_length: units of the reference.
    """

    insertions: int = 0
    deletions: int = 0
    substitutions: int = 0
    reference_length: int = 0

    @property
    def errors(self) -> int:
        """All edits: the Levenshtein distance."""
        return self.insertions + self.deletions + self.substitutions

    @property
    def rate(self) -> float:
        """Edits per reference unit; above 1 when much is inserted.

        For an empty reference 0 without edits, else infinity.
        """
        if self.reference_length == 0:
            return float("inf") if self.errors else 0.0
        return self.errors / self.reference_length

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.substitutions + other.substitutions,
            self.reference_length + other.reference_length,
        )


def levenshtein(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn one into the other.

    Args:
        reference, hypothesis: strings, which are compared by character, or lists of units.
    """
    return int(Levenshtein.distance(reference, hypothesis))


def error_counts(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCounts:
    """The edits of one shortest alignment, by kind.

    If several alignments are equally short, the counts by kind depend on the choice; their sum does
    not.

    Args:
        reference, hypothesis: words for word error rate, characters for character error rate.
    """
    kinds = [kind for kind, _, _ in Levenshtein.editops(reference, hypothesis)]
    return ErrorCounts(
        insertions=kinds.count("insert"),
        deletions=kinds.count("delete"),
        substitutions=kinds.count("replace"),
        reference_length=len(reference),
    )


def bootstrap_interval(
    values: Sequence[float] | npt.NDArray[np.floating],
    weights: Sequence[float] | npt.NDArray[np.floating] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Percentile interval of the (weighted) mean under resampling of utterances.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3.

    Args:
        values: one per utterance.
        weights: one per utterance; the statistic is then ``sum(w * v) / sum(w)``.
        confidence: share of the resampled means inside the interval.
        seed: the same seed gives the same interval.
        resamples: how many times the utterances are drawn with replacement.

    Raises:
        InputError: no values, shapes that differ, weights without a positive sum, or a
            ``confidence`` outside (0, 1).
    """
    array = np.asarray(values, dtype=np.float64)
    share = np.ones_like(array) if weights is None else np.asarray(weights, dtype=np.float64)
    if array.shape != share.shape:
        raise InputError(f"{array.size} values do not match {share.size} weights")
    return ratio_interval(array * share, share, confidence, seed, resamples)


def ratio_interval(
    numerators: Sequence[float] | npt.NDArray[np.floating],
    denominators: Sequence[float] | npt.NDArray[np.floating],
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Percentile interval of ``sum(numerators) / sum(denominators)``, resampling the pairs.

    With errors over reference lengths this is the interval of an error rate (Bisani and Ney,
    "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004).

    Raises:
        InputError: as :func:`bootstrap_interval`.
    """
    above, below = _pairs(numerators, denominators, confidence)
    ratios: list[npt.NDArray[np.float64]] = []
    for drawn in _draws(above.size, resamples, seed):
        divisor = below[drawn].sum(axis=1)
        # A resample without any reference unit has no rate and is skipped.
        ratios.append(above[drawn].sum(axis=1)[divisor > 0] / divisor[divisor > 0])
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.concatenate(ratios), [tail, 1.0 - tail])
    return float(low), float(high)


def studentized_interval(
    numerators: Sequence[float] | npt.NDArray[np.floating],
    denominators: Sequence[float] | npt.NDArray[np.floating],
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 4000,
) -> tuple[float, float] | None:
    """Interval of ``sum(numerators) / sum(denominators)`` if a few pairs dominate the sum.

    Percentile intervals of such ratios are too low: with a few dozen pairs, one in six ends below
    the true ratio instead of one in forty. The studentised bootstrap divides the deviation of each
    resample by its own standard error, which is small in resamples without a large pair (Efron and
    Tibshirani, "An Introduction to the Bootstrap", 1993, section 12.5; standard error: Cochran,
    "Sampling Techniques", 1977, section 6.4).

    Returns:
        None if all pairs have the same ratio, or there is only one pair.

    Raises:
        InputError: as :func:`bootstrap_interval`.
    """
    above, below = _pairs(numerators, denominators, confidence)
    (ratio,), (error,) = _ratios(above[None], below[None])
    if error <= 0.0:
        return None
    deviations: list[npt.NDArray[np.float64]] = []
    for drawn in _draws(above.size, resamples, seed):
        ratios, errors = _ratios(above[drawn], below[drawn])
        # A resample of a single pair, or without a denominator, has no standard error.
        scattered = errors > 0.0
        deviations.append((ratios[scattered] - ratio) / errors[scattered])
    tail = (1.0 - confidence) / 2.0
    least, most = np.quantile(np.concatenate(deviations), [tail, 1.0 - tail])
    return float(ratio - most * error), float(ratio - least * error)


def _draws(pairs: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Positions of the pairs in each resample, (resamples, pairs), in blocks."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // pairs)
    for start in range(0, resamples, at_once):
        yield generator.integers(0, pairs, size=(min(at_once, resamples - start), pairs))


def _ratios(
    above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The ratio of the sums of each row, and its standard error; 0 if a row has none."""
    pairs, divisor = above.shape[1], below.sum(axis=1)
    known = divisor > 0.0
    divisor = np.where(known, divisor, 1.0)
    ratio = above.sum(axis=1) / divisor
    squares = np.square(above - ratio[:, None] * below).sum(axis=1)
    error = np.sqrt(pairs / max(1, pairs - 1) * squares) / divisor
    return ratio, np.where(known, error, 0.0)


def _pairs(
    numerators: Sequence[float] | npt.NDArray[np.floating],
    denominators: Sequence[float] | npt.NDArray[np.floating],
    confidence: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both as one-dimensional arrays.

    Raises:
        InputError: as :func:`bootstrap_interval`.
    """
    above = np.asarray(numerators, dtype=np.float64)
    below = np.asarray(denominators, dtype=np.float64)
    if above.ndim != 1 or above.size == 0 or above.shape != below.shape:
        raise InputError(
            f"a bootstrap interval needs as many denominators ({below.size}) as numerators "
            f"({above.size}), and at least one"
        )
    if (below < 0).any() or below.sum() <= 0:
        raise InputError("the weights of a bootstrap interval must be positive")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence must be between 0 and 1, not {confidence}")
    return above, below
