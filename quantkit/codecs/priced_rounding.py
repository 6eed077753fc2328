"""Rounding that weighs the error of a level against the bits that it takes.

With evenly spaced levels in steps of Δ and a code that gives level q the length ℓ(q), error and
bits together, D + λR, are least if each weight takes the level that minimises

    Λₖ Δ² (r − q)² + λ ℓ(q),

where r is the weight in steps and Λₖ what a squared error in column k costs: entropy-constrained
quantization (Chou, Lookabaugh and Gray, "Entropy-constrained vector quantization", 1989), as video
coders do it (Sullivan and Wiegand, "Rate-distortion optimization for video compression", 1998).
Here it is a part of compensated rounding (:mod:`~quantkit.codecs.compensated`): Λₖ is that of
LDLQ, r holds what the weights rounded before have left over, and coordinate descent at the end
weighs both, too.

The step and λ are not free of each other. With fine steps the error is Δ²/12 for each weight, and
one more bit divides it by four, so that dD/dR = −2 ln 2 · Δ²/12: where both ways of saving a bit
cost the same, λ is 0.1155 Δ² Λ. With coarse ones it is less; the share below was the best on the
layers of the shipped model at 2 and 3 bits.

So the step alone decides how many bits the codes take, and is searched until they fill what they
may take. With a code for each channel it would be the same for all. One code for all is worse the
more the channels differ, so their steps are in the best of three proportions: equal, as their root
mean squares, or between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np

from quantkit.arrays import Booleans, Doubles, FloatArray, IndexArray
from quantkit.codecs.base import Levels, Weight
from quantkit.codecs.channels import as_rows, from_rows
from quantkit.codecs.compensated import Compensation, Grid, Laid
from quantkit.codecs.uniform import VANISHING, normal_scale

#: λ as a share of Δ² Λ.
_PRICE = 0.05
#: How much of the bits may stay unused.
_UNUSED = 0.003
#: Most times that all weights are rounded, each with another step.
_ROUNDS = 6
#: The first of them, after which the lengths of codes are taken from what was rounded.
_LEARNING_ROUNDS = 2
#: Likewise where only the size of the error matters.
_ESTIMATE_ROUNDS = 2
#: By how much the steps of channels follow their loudness: as powers of it.
_EXPONENTS = (0.0, 0.5, 1.0)
#: Halvings of the range in which the step of weights that are not compensated lies.
_HALVINGS = 14
#: The range itself, in root mean squares of the weights.
_FINEST, _COARSEST = 1 / 64, 16.0
#: Weights that the first step is found with, at most.
_SAMPLE = 1 << 18
#: Levels of which no weight was seen count as this share of one weight.
_UNSEEN = 0.5


#: Multiples of a step, up to a largest level: (largest, step), ascending, the first step 1.
Rings = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Rounded:
    """Levels in the shape of the weight, int8, and scales, (channels,)."""

    levels: Levels
    scale: FloatArray


def round_priced(
    weight: Weight, bits_of: Callable[[Levels], int], most_bits: int, rings: Rings
) -> Rounded:
    """Levels with little error whose codes take at most ``most_bits``, or all zeros.

    Args:
        weight: to round. Given scales are not kept, because then the bits could not be.
        bits_of: what the codes of levels take, in the shape of the weight or some in any shape.
        most_bits: what they may take; all zeros must keep to it.
        rings: of levels; none is beyond the largest that the weight has.
    """
    rows = as_rows(weight)
    if weight.largest_level is not None:
        most = weight.largest_level
        rings = tuple((min(outer, most) // step * step, step) for outer, step in rings)
    largest = float(np.abs(rows.values).max(initial=0))
    shape, axis = weight.values.shape, weight.axis
    if not largest:
        scale = np.full(shape[axis], VANISHING, np.float32)
        return Rounded(np.zeros(shape, np.int8), scale)
    # So that no product overflows or underflows, whatever the magnitude of the weights.
    values = (rows.values / largest).astype(np.float32)
    search = _Search(
        replace(rows, values=values),
        bits_of,
        lambda levels: bits_of(from_rows(levels, shape, axis)),
        most_bits,
        rings,
        np.ones(len(values), np.float32),
    )
    laid = search.in_proportion().best()
    scale = normal_scale(laid.grid.scale.astype(np.float64) * largest)
    return Rounded(from_rows(laid.levels.astype(np.int8), shape, axis), scale)


@dataclass
class PricedGrid(Grid):
    """Whole numbers, each with a price.

    Args:
        scale: (channels,).
        rings: of levels.
        lengths: bits by magnitude.
        factor: λ in the unit of the masses.
        masses: of the columns, by the first channel of each group.
    """

    scale: FloatArray
    rings: Rings
    lengths: FloatArray
    factor: float
    masses: dict[int, FloatArray]
    group = 1

    def copy(self) -> Self:
        return replace(self, scale=self.scale.copy())

    def take_better(self, other: Self, own_errors: Doubles, errors: Doubles) -> Booleans:
        better = errors < own_errors
        self.scale[better] = other.scale[better]
        return better

    def open(
        self, channels: slice, columns: IndexArray, ratios: FloatArray, masses: FloatArray
    ) -> None:
        """Nothing to choose."""

    def nearest(self, channels: slice, column: int, ratios: FloatArray) -> FloatArray:
        """The level that costs least, of the nearest and the next one towards zero."""
        return self.cheapest(ratios, self._price(channels, column))

    def cheapest(self, ratios: FloatArray, price: FloatArray) -> FloatArray:
        """See :meth:`nearest`.

        Args:
            price: of a bit, in squared steps, in the shape of ``ratios``.
        """
        magnitude = np.abs(ratios)
        level = _in_rings(magnitude, self.rings)
        saved = self._saved[level.astype(np.intp)]
        # (a − n + 1)² − (a − n)² is what the lower level costs more, where steps are 1.
        lower = 2 * (magnitude - level) + 1 < price * saved
        level -= lower & (level <= self.rings[0][0])
        found: FloatArray = np.copysign(level, ratios)
        return found

    def prefers(
        self,
        channels: slice,
        column: int,
        moved: IndexArray,
        wanted: FloatArray,
        found: FloatArray,
        now: FloatArray,
    ) -> Booleans:
        price = self._price(channels, column)[moved]
        before, after = (
            np.square(wanted - each) + price * self.lengths[np.abs(each).astype(np.intp)]
            for each in (now, found)
        )
        better: Booleans = after < before
        return better

    def weigh(self, channels: slice, masses: FloatArray) -> None:
        self.masses[channels.start] = np.maximum(masses, np.float32(1e-12))

    @property
    def _saved(self) -> FloatArray:
        """Bits that the next level towards zero saves; none at zero itself."""
        saved = np.diff(self.lengths, prepend=self.lengths[:1])
        return np.maximum(saved, 0)

    def _price(self, channels: slice, column: int) -> FloatArray:
        """Of a bit, in squared steps: (channels,)."""
        scale = self.scale[channels]
        price: FloatArray = self.factor / (self.masses[channels.start][column] * scale * scale)
        return price


@dataclass(frozen=True)
class _Search:
    """For the step whose codes fill what they may take.

    Args:
        rows: (channels, inputs), its largest weight 1.
        code_bits: what the codes of any levels take.
        bits_of: what those of all levels take, (channels, inputs).
        most_bits, rings: see :func:`round_priced`.
        proportions: (channels,), of the channels' steps.
    """

    rows: Weight
    code_bits: Callable[[Levels], int]
    bits_of: Callable[[Levels], int]
    most_bits: int
    rings: Rings
    proportions: FloatArray

    @property
    def reach(self) -> int:
        """The largest level."""
        return self.rings[-1][0]

    def best(self) -> Laid[PricedGrid]:
        """The weights on the grid of that step."""
        compensation = None
        if self.rows.second_moments is not None:
            compensation = Compensation.of(self.rows.second_moments, len(self.rows.values), 1)
        step, _ = self._first()
        nearest = np.rint(self.rows.values / self._scale(step)[:, None])
        lengths = _lengths(nearest.clip(-self.reach, self.reach), self.reach)
        rounds = _ESTIMATE_ROUNDS if self.rows.for_estimate else _ROUNDS
        aim = (1 - _UNUSED / 3) * self.most_bits
        best: Laid[PricedGrid] | None = None
        # Steps that are too fine and too coarse, as logarithms, with the bits that codes take.
        tried: dict[bool, tuple[float, int]] = {}
        for number in range(rounds):
            laid = self._laid(step, lengths, compensation)
            used = self._bits(laid)
            fits = used <= self.most_bits
            tried[fits] = math.log2(step), used
            if fits:
                best = laid
                if used >= (1 - _UNUSED) * self.most_bits:
                    break
            if number < _LEARNING_ROUNDS:
                lengths = _lengths(laid.levels, self.reach)
            step = 2.0 ** self._next(tried, fits, aim)
            if number < _LEARNING_ROUNDS:
                # With other lengths, the same step takes other bits.
                tried.clear()
        while best is None:
            laid = self._laid(step, lengths, compensation)
            best = laid if self._bits(laid) <= self.most_bits else None
            step *= 1.02
        if compensation is not None:
            if not self.rows.for_estimate:
                self._improve(best, compensation)
            best.grid.scale *= compensation.best_factors(self.rows.values, best).astype(np.float32)
        return best

    def _next(self, tried: dict[bool, tuple[float, int]], last: bool, aim: float) -> float:
        """The logarithm of the step to try next."""
        if len(tried) == 2 and tried[False][1] > tried[True][1]:
            (fine, most), (coarse, fewest) = tried[False], tried[True]
            return fine + (most - aim) / (most - fewest) * (coarse - fine)
        # Half the step takes one bit more for each weight.
        logarithm, used = tried[last]
        return logarithm + (used - aim) / self.rows.values.size

    def _improve(self, laid: Laid[PricedGrid], compensation: Compensation) -> None:
        """Move each weight to a level that costs less, given all others."""
        before = laid.copy()
        compensation.improve(self.rows.values, laid)
        if self._bits(laid) > self.most_bits:
            laid.levels[:] = before.levels

    def _bits(self, laid: Laid[PricedGrid]) -> int:
        return self.bits_of(laid.levels.astype(np.int8))

    def _laid(
        self, step: float, lengths: FloatArray, compensation: Compensation | None
    ) -> Laid[PricedGrid]:
        values = self.rows.values
        scale = self._scale(step)
        grid = PricedGrid(scale, self.rings, lengths, 0.0, {})
        if compensation is not None:
            laid = Laid(grid, np.zeros(values.shape, np.int16))
            means = [feedback.geometric_mass() for _, feedback in compensation.groups]
            grid.factor = _PRICE * step * step * float(np.exp(np.mean(np.log(means))))
            compensation.round(values, laid)
            return laid
        masses = np.ones((1, values.shape[1]), np.float32)
        if self.rows.importance is not None and self.rows.importance.any():
            masses = self.rows.importance / self.rows.importance.mean(dtype=np.float64)
        masses = np.maximum(masses, np.float32(1e-6)).astype(np.float32)
        grid.factor = _PRICE * step * step * float(np.exp(np.log(masses).mean(dtype=np.float64)))
        levels = np.empty(values.shape, np.int16)
        for channel, own in enumerate(np.broadcast_to(masses, values.shape)):
            price = grid.factor / (own * scale[channel] ** 2)
            levels[channel] = grid.cheapest(values[channel] / scale[channel], price)
        return Laid(grid, levels)

    def _scale(self, step: float) -> FloatArray:
        """Of each channel: the step, or more where the largest weight would be out of reach."""
        widest = np.abs(self.rows.values).max(axis=1, initial=0) / self.reach
        scale: FloatArray = np.maximum(widest, step * self.proportions).astype(np.float32)
        return scale

    def _first(self) -> tuple[float, float]:
        """The step at which the nearest levels of some channels fill their share of the bits.

        Returns:
            It, and the error of these levels.
        """
        values = self.rows.values
        some = slice(None, None, -(-values.size // _SAMPLE))
        own = values[some]
        most = self.most_bits * own.size / values.size
        spread = math.sqrt(float(np.mean(np.square(values, dtype=np.float64))))
        low, high = _FINEST * spread, _COARSEST * spread
        error = math.inf
        for _ in range(_HALVINGS):
            middle = math.sqrt(low * high)
            scale = self._scale(middle)[some, None]
            levels = np.copysign(_in_rings(np.abs(own / scale), self.rings), own)
            if self.code_bits(levels.astype(np.int8)) <= most:
                high = middle
                error = float(np.square(levels * scale - own, dtype=np.float64).sum())
            else:
                low = middle
        return high, error

    def in_proportion(self) -> Self:
        """The same search with the best of some proportions between the channels' steps."""
        values = self.rows.values
        loudness = np.sqrt(np.mean(np.square(values, dtype=np.float64), axis=1))
        heard = loudness > 0
        loudness = np.where(heard, loudness / np.exp(np.log(loudness[heard]).mean()), 1)
        searches = [
            replace(self, proportions=(loudness**exponent).astype(np.float32))
            for exponent in _EXPONENTS
        ]
        return min(searches, key=lambda search: search._first()[1])


def _in_rings(magnitudes: FloatArray, rings: Rings) -> FloatArray:
    """The level nearest to each."""
    levels: FloatArray = np.rint(magnitudes)
    for (inner, _), (outer, step) in pairwise(rings):
        beyond = magnitudes > inner
        if beyond.any():
            coarse = np.rint(magnitudes / step) * step
            levels = np.where(beyond, np.clip(coarse, inner, outer), levels)
    return levels


def _lengths(levels: Levels, reach: int) -> FloatArray:
    """−log₂ of how often each magnitude occurs, with either sign: (reach + 1,)."""
    counts = np.bincount(np.abs(levels.astype(np.int64)).reshape(-1), minlength=reach + 1)
    shares = np.maximum(counts, _UNSEEN) / max(levels.size, 1)
    shares[1:] /= 2
    lengths = -np.log2(shares)
    # Longer codes for larger levels, though chance says otherwise of rare ones.
    found: FloatArray = np.maximum.accumulate(lengths).astype(np.float32)
    return found
