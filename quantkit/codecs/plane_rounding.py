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
    weight: Weight, basis: FloatArray, bits_of: Callable[[Levels], int], most_bits: int
) -> Rounded:
    """Levels of coefficients with little error whose codes take at most ``most_bits``.

    Args:
        weight: (channels, inputs, taps…).
        basis: (taps, coefficients), invertible.
        bits_of: what codes of levels take, (channels, inputs · coefficients).
        most_bits: what they may take; all zeros must keep to it.

    Returns:
        Levels (channels, inputs · coefficients), and steps, (channels,).
    """
    channels, taps = len(weight.values), len(basis)
    inverse = np.linalg.inv(basis.astype(np.float64)).astype(np.float32)
    largest = float(np.abs(weight.values).max(initial=0))
    if not largest:
        zeros = np.zeros((channels, weight.values.size // max(1, channels)), np.int8)
        return Rounded(zeros, np.full(channels, VANISHING, np.float32))
    # So that no product overflows or underflows, whatever the magnitude of the weights.
    filters = (weight.values / largest).reshape(-1, taps).astype(np.float32)
    values = (filters @ inverse.T).reshape(channels, -1)
    compensation = None
    if weight.second_moments is not None:
        turned = weight.second_moments.turned(basis)
        compensation = Compensation.of(turned, channels, 1)
    laid = _search(values, compensation, taps, bits_of, most_bits, weight.for_estimate)
    scale = laid.grid.scale.astype(np.float64) * largest
    if compensation is not None:
        scale *= compensation.best_factors(values, laid)
    return Rounded(laid.levels.astype(np.int8), normal_scale(scale))


def _search(
    values: FloatArray,
    compensation: Compensation | None,
    taps: int,
    bits_of: Callable[[Levels], int],
    most_bits: int,
    for_estimate: bool,
) -> Laid[PlaneGrid]:
    reach = RINGS[-1][0]
    spread = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
    # Half the step takes one bit more.
    step = spread * 2.0 ** (1.6 - most_bits / values.size)
    planes = _lengths(np.rint(values / step).clip(-reach, reach), taps, reach)
    best: Laid[PlaneGrid] | None = None
    tried: dict[bool, tuple[float, int]] = {}
    aim = (1 - _UNUSED / 3) * most_bits
    for number in range(_ESTIMATE_ROUNDS if for_estimate else _ROUNDS):
        laid = _laid(values, compensation, step, planes)
        used = bits_of(laid.levels)
        fits = used <= most_bits
        tried[fits] = float(np.log2(step)), used
        if fits:
            best = laid
            if used >= (1 - _UNUSED) * most_bits:
                break
        logarithm = float(np.log2(step)) + (used - aim) / values.size
        if len(tried) == 2 and tried[False][1] > tried[True][1]:
            (fine, more), (coarse, fewer) = tried[False], tried[True]
            logarithm = fine + (more - aim) / (more - fewer) * (coarse - fine)
        if number < _LEARNING_ROUNDS:
            planes = _lengths(laid.levels, taps, reach)
            # With other lengths, the same step takes other bits.
            tried.clear()
        # Where the largest level bounds the steps of all channels, finer ones change nothing.
        step = max(float(2.0**logarithm), spread / 1024)
    while best is None:
        step *= _COARSER
        laid = _laid(values, compensation, step, planes)
        best = laid if bits_of(laid.levels) <= most_bits else None
    if compensation is not None and not for_estimate:
        before = best.copy()
        compensation.improve(values, best)
        if bits_of(best.levels) > most_bits:
            best = before
    return best


def _laid(
    values: FloatArray, compensation: Compensation | None, step: float, planes: FloatArray
) -> Laid[PlaneGrid]:
    reach, taps = RINGS[-1][0], len(planes)
    widest = np.abs(values).max(axis=1, initial=0) / reach
    scale = np.maximum(widest, step).astype(np.float32)
    grid = PlaneGrid(scale, RINGS, planes[0], PRICE * step * step, {}, planes)
    laid = Laid(grid, np.zeros(values.shape, np.int16))
    if compensation is not None:
        masses = [feedback.geometric_mass() for _, feedback in compensation.groups]
        grid.factor *= float(np.exp(np.mean(np.log(masses))))
        compensation.round(values, laid)
        return laid
    ratios = values / scale[:, None]
    price = np.broadcast_to(grid.factor / np.square(scale)[:, None], values[:, ::taps].shape)
    for coefficient in range(taps):
        grid.lengths = planes[coefficient]
        laid.levels[:, coefficient::taps] = grid.cheapest(ratios[:, coefficient::taps], price)
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
