"""The range whose grid tells most about the values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from quantkit.calibration.ranges.base import Range
from quantkit.calibration.ranges.histogram import Histogram
from quantkit.calibration.ranges.min_max import MinMax

# Ends tried first, evenly spaced, and next, between the neighbours of the best.
_COARSE = 128
_FINE = 32
# Both ends settle in two or three rounds.
_ROUNDS = 4


class Entropy:
    """The range that loses least information (Migacz 2017, "8-bit Inference with TensorRT").

    P is the distribution of the values, those beyond an end counted in the outermost bin inside.
    Q is what the grid makes of it: the mass of each level, spread evenly over the bins that round
    to it and hold anything. The ends with the smallest Kullback-Leibler divergence of Q from P
    win.

    The source searches one threshold of a symmetric grid. On an asymmetric one either end is
    searched while the other stays, in turn, and a level is what the grid with its zero point
    rounds a bin to. Zeros are not counted: zero lies on every grid, and what a ReLU or a mask
    leaves of it would pass for a bin that the grid cannot tell from its neighbours. And what mere
    chance makes of the divergence, half a bin for each that shares its level with others, divided
    by the number of values, is taken off (Miller 1955, "Note on the bias of information
    estimates"): with few values it would outweigh all else, and no bins at all look best.

    Args:
        bits: of the grid.
    """

    def __init__(self, bits: int = 8) -> None:
        self.steps = 2**bits - 1
        self.extremes = MinMax()
        self.histogram = Histogram()

    def update(self, values: npt.NDArray[np.float32]) -> None:
        self.extremes.update(values)
        self.histogram.update(values[values != 0])

    def result(self) -> Range:
        extremes = self.extremes.result()
        filled = np.flatnonzero(self.histogram.counts) + self.histogram.first
        # The widest come first: only less divergence moves an end inwards.
        lows, highs = filled[filled < 0], filled[filled >= 0][::-1]
        low = int(lows[0]) if lows.size else 0
        high = int(highs[0]) if highs.size else -1
        for _ in range(_ROUNDS):
            before = low, high
            if highs.size:
                high = _best_end(highs, high, partial(self._divergence, low))
            if lows.size:
                low = _best_end(lows, low, partial(self._divergence, high=high))
            if (low, high) == before:
                break
        width = self.histogram.width
        return Range(max(low * width, extremes.lowest), min((high + 1) * width, extremes.highest))

    def _divergence(self, low: int, high: int) -> float:
        """Of a grid over the bins numbered ``low`` to ``high``; what they hold is not nothing."""
        counts, first = self.histogram.counts, self.histogram.first
        start, stop = max(low - first, 0), high - first + 1
        (filled,) = np.nonzero(counts[start:stop])
        inside = counts[start:stop][filled].astype(np.float64)
        scale = (high + 1 - low) / self.steps
        middles = filled + (start + first + 0.5)
        levels = np.rint(middles / scale) + np.rint(-low / scale)
        levels = np.clip(levels, 0, self.steps).astype(np.int64)
        levels -= levels[0]
        rebuilt = (np.bincount(levels, inside) / np.maximum(np.bincount(levels), 1))[levels]
        rebuilt /= inside.sum()
        true = inside
        true[0] += counts[:start].sum()
        true[-1] += counts[stop:].sum()
        true /= true.sum()
        used = int(np.count_nonzero(np.bincount(levels)))
        chance = (filled.size - used) / (2 * int(counts.sum()))
        return float((true * np.log(true / rebuilt)).sum()) - chance


def _best_end(ends: npt.NDArray[np.int64], now: int, divergence: Callable[[int], float]) -> int:
    """The one of ``ends`` with the least divergence, the first of equals; never worse than now."""
    found: dict[int, float] = {now: divergence(now)}

    def best_of(indices: npt.NDArray[np.int64]) -> int:
        for end in ends[np.unique(indices)]:
            if int(end) not in found:
                found[int(end)] = divergence(int(end))
        return min(found, key=found.__getitem__)

    step = -(-ends.size // _COARSE)
    best = best_of(np.arange(0, ends.size, step))
    position = int(np.flatnonzero(ends == best)[0])
    around = np.linspace(max(position - step, 0), min(position + step, ends.size - 1), _FINE)
    return best_of(around.astype(np.int64))
