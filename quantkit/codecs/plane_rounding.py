"""Rounding coefficients of filters, of which each has codes of its own.

As :mod:`~quantkit.codecs.priced_rounding`, which says what a price is. Lengths of codes are those
of each coefficient, and errors are compensated under the moments that coefficients meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import Booleans, FloatArray, IndexArray
from quantkit.codecs.base import Levels, Weight
from quantkit.codecs.compensated import Compensation, Laid
from quantkit.codecs.priced_rounding import PRICE, RINGS, PricedGrid, Rounded
from quantkit.codecs.uniform import VANISHING, normal_scale

_UNUSED = 0.004
_LEARNING_ROUNDS, _ESTIMATE_ROUNDS, _ROUNDS = 2, 3, 6
#: By how much the step of a weight that fits in none of them grows each time.
_COARSER = 1.03
_UNSEEN = 0.5


@dataclass
class PlaneGrid(PricedGrid):
    """Whole numbers whose prices differ by coefficient.

    Args:
        planes: (coefficients, magnitudes), bits.
    """

    planes: FloatArray

    def nearest(self, channels: slice, column: int, ratios: FloatArray) -> FloatArray:
        self.lengths = self.planes[column % len(self.planes)]
        return super().nearest(channels, column, ratios)

    def prefers(
        self,
        channels: slice,
        column: int,
        moved: IndexArray,
        wanted: FloatArray,
        found: FloatArray,
        now: FloatArray,
    ) -> Booleans:
        self.lengths = self.planes[column % len(self.planes)]
        return super().prefers(channels, column, moved, wanted, found, now)


def round_planes(
    weight: Weight, basis: Levels, bits_of: Callable[[Levels], int], most_bits: int, most: int
) -> Rounded:
    """Levels of coefficients with little error whose codes take at most ``most_bits``.

    Args:
        weight: (channels, inputs, taps…).
        basis: (taps, coefficients) whole numbers, invertible.
        bits_of: what codes of levels take, (channels, inputs · coefficients).
        most_bits: what they may take; all zeros must keep to it.
        most: the largest magnitude that basis times levels may have.

    Returns:
        Levels (channels, inputs · coefficients), and steps, (channels,).
    """
    channels, taps = len(weight.values), len(basis)
    # In units of the basis, steps are those between weights.
    gain = float(np.sqrt(np.mean(np.square(basis, dtype=np.float64).sum(axis=0))))
    unit = (basis / gain).astype(np.float32)
    inverse = np.linalg.inv(unit.astype(np.float64)).astype(np.float32)
    largest = float(np.abs(weight.values).max(initial=0))
    if not largest:
        zeros = np.zeros((channels, weight.values.size // max(1, channels)), np.int8)
        return Rounded(zeros, np.full(channels, VANISHING, np.float32))
    # So that no product overflows or underflows, whatever the magnitude of the weights.
    filters = (weight.values / largest).reshape(-1, taps).astype(np.float32)
    values = (filters @ inverse.T).reshape(channels, -1)
    compensation = None
    if weight.second_moments is not None:
        turned = weight.second_moments.turned(unit)
        compensation = Compensation.of(turned, channels, 1)
    whole = basis.astype(np.float32)

    def sums(levels: Levels) -> FloatArray:
        """Their largest magnitude in each channel."""
        found = levels.reshape(-1, taps).astype(np.float32) @ whole.T
        largest_sums: FloatArray = np.abs(found.reshape(channels, -1)).max(axis=1, initial=0)
        return largest_sums

    widest = np.abs(filters).reshape(channels, -1).max(axis=1, initial=0) * gain / most
    search = _Search(values, compensation, taps, bits_of, most_bits, widest, sums, most)
    laid = search.best(for_estimate=weight.for_estimate)
    scale = laid.grid.scale.astype(np.float64) * largest / gain
    if compensation is not None:
        scale *= compensation.best_factors(values, laid)
    return Rounded(laid.levels.astype(np.int8), normal_scale(scale))


@dataclass
class _Search:
    """For the step whose codes fill what they may take.

    Args:
        values: (channels, inputs · coefficients).
        taps, bits_of, most_bits, most: see :func:`round_planes`.
        widest: (channels,), steps that the largest weight of a channel needs at least; they grow
            where rounding goes further.
        sums: largest magnitude of each channel's weights, of levels.
    """

    values: FloatArray
    compensation: Compensation | None
    taps: int
    bits_of: Callable[[Levels], int]
    most_bits: int
    widest: FloatArray
    sums: Callable[[Levels], FloatArray]
    most: int

    def best(self, *, for_estimate: bool) -> Laid[PlaneGrid]:
        """The coefficients on the grid of that step."""
        reach, size = RINGS[-1][0], self.values.size
        spread = float(np.sqrt(np.mean(np.square(self.values, dtype=np.float64))))
        # Half the step takes one bit more.
        step = spread * 2.0 ** (1.6 - self.most_bits / size)
        planes = _lengths(np.rint(self.values / step).clip(-reach, reach), self.taps, reach)
        best: Laid[PlaneGrid] | None = None
        tried: dict[bool, tuple[float, int]] = {}
        aim = (1 - _UNUSED / 3) * self.most_bits
        for number in range(_ESTIMATE_ROUNDS if for_estimate else _ROUNDS):
            laid = self._laid(step, planes)
            used = self.bits_of(laid.levels)
            fits = used <= self.most_bits
            tried[fits] = float(np.log2(step)), used
            if fits and self._stays(laid):
                best = laid
                if used >= (1 - _UNUSED) * self.most_bits:
                    break
            logarithm = float(np.log2(step)) + (used - aim) / size
            if len(tried) == 2 and tried[False][1] > tried[True][1]:
                (fine, more), (coarse, fewer) = tried[False], tried[True]
                logarithm = fine + (more - aim) / (more - fewer) * (coarse - fine)
            if number < _LEARNING_ROUNDS:
                planes = _lengths(laid.levels, self.taps, reach)
                # With other lengths, the same step takes other bits.
                tried.clear()
            # Where the largest weights bound the steps of all channels, finer ones change nothing.
            step = max(float(2.0**logarithm), spread / 1024)
        while best is None:
            step *= _COARSER
            laid = self._laid(step, planes)
            if self.bits_of(laid.levels) <= self.most_bits and self._stays(laid):
                best = laid
        if self.compensation is not None and not for_estimate:
            before = best.copy()
            self.compensation.improve(self.values, best)
            too_far = self.sums(best.levels) > self.most
            best.levels[too_far] = before.levels[too_far]
            if self.bits_of(best.levels) > self.most_bits:
                best = before
        return best

    def _stays(self, laid: Laid[PlaneGrid]) -> bool:
        """Whether all weights are within reach; else steps of some channels grow."""
        sums = self.sums(laid.levels)
        beyond = sums > self.most
        needed = laid.grid.scale * np.maximum(sums / self.most, _COARSER)
        self.widest = np.where(beyond, needed, self.widest)
        return not beyond.any()

    def _laid(self, step: float, planes: FloatArray) -> Laid[PlaneGrid]:
        values, compensation = self.values, self.compensation
        furthest = np.abs(values).max(axis=1, initial=0) / RINGS[-1][0]
        scale = np.maximum(np.maximum(self.widest, furthest), step).astype(np.float32)
        grid = PlaneGrid(scale, RINGS, planes[0], PRICE * step * step, {}, planes)
        laid = Laid(grid, np.zeros(values.shape, np.int16))
        if compensation is not None:
            masses = [feedback.geometric_mass() for _, feedback in compensation.groups]
            grid.factor *= float(np.exp(np.mean(np.log(masses))))
            compensation.round(values, laid)
            return laid
        ratios = values / scale[:, None]
        inputs = values.shape[1] // self.taps
        price = np.repeat(grid.factor / np.square(scale)[:, None], inputs, axis=1)
        for coefficient in range(self.taps):
            grid.lengths = planes[coefficient]
            own = slice(coefficient, None, self.taps)
            laid.levels[:, own] = grid.cheapest(ratios[:, own], price)
        return laid


def _lengths(levels: np.ndarray, taps: int, reach: int) -> FloatArray:
    """−log₂ of how often each magnitude occurs in each plane: (coefficients, reach + 1)."""
    magnitudes = np.abs(levels.astype(np.int64)).reshape(-1, taps)
    found = []
    for plane in magnitudes.T:
        counts = np.bincount(plane, minlength=reach + 1)
        shares = np.maximum(counts, _UNSEEN) / plane.size
        shares[1:] /= 2
        found.append(np.maximum.accumulate(-np.log2(shares)))
    return np.array(found, np.float32)
