"""Fit evenly spaced levels to each channel: the search for scales."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from quantkit.arrays import Doubles, FloatArray
from quantkit.codecs.base import Levels, Weight
from quantkit.codecs.symbols import Reading
from quantkit.errors import InputError

#: Whether zero is a level (``mid-tread``) or lies between two (``midrise``), as in Gersho and
#: Gray, "Vector Quantization and Signal Compression", 1992, section 5.4.
GridName = Literal["mid-tread", "midrise"]


#: Weights worked on at a time: a few arrays of this size stay in the processor's cache.
_BLOCK = 32768
#: First candidate steps, as shares of the step that clips nothing: from 1 to 1/40.
_COARSE = np.geomspace(1.0, 1 / 40, 24)
#: Second candidates, as shares of the best step, up to its neighbours among the first.
_FINE = (_COARSE[1] / _COARSE[0]) ** np.linspace(-0.9, 0.9, 18)
_REFINEMENTS = 3
#: Scale of a channel of zeros, as a share of the largest weight.
VANISHING = 2.0**-24


@dataclass(frozen=True)
class UniformGrid:
    """Integer levels ``lowest``, ``lowest + step``, … ``highest``.

    Args:
        lowest, highest: the outermost levels; ``highest`` is positive.
        step: 1 for every integer; 2 for odd ones only, which makes the grid midrise.
    """

    lowest: int
    highest: int
    step: int = 1

    @classmethod
    def of(cls, name: GridName, bits: int) -> UniformGrid:
        """The grid of 2ᵇ levels.

        Mid-tread is all of two's complement (−2, −1, 0, 1 for 2 bits): its lowest level costs
        nothing and only reduces the error. Midrise is all odd numbers (−3, −1, 1, 3).

        Raises:
            InputError: there is no such grid, or its levels are wider than int8.
        """
        if name == "mid-tread" and 2 <= bits <= 8:
            return cls(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        if name == "midrise" and 1 <= bits <= 7:
            return cls(1 - (1 << bits), (1 << bits) - 1, step=2)
        raise InputError(
            f"there is no {name} grid of {bits} bits; choose mid-tread with 2 to 8 or midrise "
            f"with 1 to 7"
        )

    def within(self, largest: int | None) -> UniformGrid:
        """The levels that are at most ``largest`` away from zero; None: all.

        >>> UniformGrid(-128, 127).within(64)
        UniformGrid(lowest=-64, highest=64, step=1)
        >>> UniformGrid(-127, 127, step=2).within(64)
        UniformGrid(lowest=-63, highest=63, step=2)
        """
        if largest is None:
            return self
        # All levels of a grid of odd numbers are odd.
        bound = largest if self.step == 1 else largest - 1 + largest % 2
        return replace(self, lowest=max(self.lowest, -bound), highest=min(self.highest, bound))

    def nearest(self, ratios: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """The level nearest to each of ``ratios``, as floats; in ``out``, or a new array."""
        if self.step == 1:
            levels = np.rint(ratios, out=out)
        else:
            levels = np.floor(np.multiply(ratios, np.float32(0.5), out=out), out=out)
            levels += levels
            levels += 1
        # Called for every column of a weight: the method is faster than np.clip.
        levels.clip(self.lowest, self.highest, out=levels)
        return levels

    def unclipped_step(self, matrix: FloatArray) -> FloatArray:
        """The smallest step at which no value of a channel is clipped; 0 for zeros.

        Args:
            matrix: (channels, inputs).

        Returns:
            (channels,).
        """
        above = matrix.max(axis=1, initial=0) / np.float32(self.highest)
        below = matrix.min(axis=1, initial=0) / np.float32(self.lowest)
        steps: FloatArray = np.maximum(above, below)
        return steps


@runtime_checkable
class EvenlySpaced(Protocol):
    """A codec of evenly spaced levels, defined by one step per channel."""

    @property
    def spacing(self) -> UniformGrid:
        """The levels, in units of the step."""


def default_grid(bits: int) -> GridName:
    """The better grid for trained weights: mid-tread wherever there is one.

    In theory midrise is better for few bits. But trained weights are peaked at zero, and two's
    complement has as many levels.
    """
    return "midrise" if bits == 1 else "mid-tread"


def reading_of(grid: GridName) -> Reading:
    """How the levels of a grid are stored."""
    return "midrise" if grid == "midrise" else "signed"


def channel_blocks(weight: Weight) -> Iterator[tuple[slice, FloatArray, FloatArray | None]]:
    """The weight as matrices of a few channels each, small enough for the cache.

    Yields:
        Which channels, their values and importance (None if the weight has none), both
        (channels, inputs), inputs in C order of the other dimensions.
    """
    values = np.moveaxis(weight.values, weight.axis, 0)
    importance = weight.importance
    if importance is not None:
        importance = np.broadcast_to(importance, weight.values.shape)
        importance = np.moveaxis(importance, weight.axis, 0)
    channels = len(values)
    inputs = weight.values.size // max(channels, 1)
    size = max(_BLOCK // max(inputs, 1), 1)
    for start in range(0, channels, size):
        block = slice(start, min(start + size, channels))
        shape = (block.stop - start, inputs)
        yield (
            block,
            np.ascontiguousarray(values[block].reshape(shape)),
            None if importance is None else np.ascontiguousarray(importance[block].reshape(shape)),
        )


def fit_uniform(weight: Weight, grid: UniformGrid) -> tuple[Levels, FloatArray]:
    """Levels and per-channel scales with a small importance-weighted squared error.

    For each candidate step Δ the levels q nearest to w/Δ are found. The best scale for them is Σmwq
    / Σmq² (least squares, with importance m), which reduces the error by (Σmwq)² / Σmq²; the levels
    that reduce it most are chosen. Then nearest levels and best scale are found alternately (Lloyd,
    "Least squares quantization in PCM", 1982), which never increases the error. The step that clips
    nothing is among the candidates, so the result is never worse than min-max scaling.

    Levels beyond the weight's ``largest_level`` are left out of the grid.

    If the weight has given steps, they become the scales, and the levels are the nearest ones.

    Returns:
        Levels in the shape of the weight, int8 or, where the grid is wider, int16; and scales,
        (channels,), positive and finite. A channel of zeros gets a scale that is negligible beside
        the weight's largest value.
    """
    grid = grid.within(weight.largest_level)
    values = weight.values
    levels = np.empty(values.shape, np.int8 if grid.highest <= 127 else np.int16)
    levels_by_channel = np.moveaxis(levels, weight.axis, 0)
    scales = np.empty(values.shape[weight.axis], np.float32)
    largest = float(np.abs(values).max(initial=0)) or 1.0
    for block, matrix, importance in channel_blocks(weight):
        if weight.scale is None:
            scale = _block_scales(matrix, importance, grid)
        else:
            scale = np.where(matrix.any(axis=1), weight.scale[block], 0).astype(np.float64)
        scale[scale == 0] = largest * VANISHING
        scales[block] = normal_scale(scale)
        nearest = grid.nearest(matrix / scales[block, None])
        levels_by_channel[block] = nearest.reshape(levels_by_channel[block].shape)
    return levels, scales


def normal_scale(scale: Doubles) -> FloatArray:
    """As float32, finite and at least the smallest normal number: else 1/scale would overflow."""
    limits = np.finfo(np.float32)
    return np.clip(scale, limits.tiny, limits.max).astype(np.float32)


def _block_scales(matrix: FloatArray, importance: FloatArray | None, grid: UniformGrid) -> Doubles:
    """Scales of (channels, inputs) values; 0 for channels of zeros."""
    largest = np.abs(matrix).max(axis=1, initial=0).astype(np.float64)
    # So that squares neither overflow nor underflow, whatever the magnitude of the weights.
    shares = (matrix / np.where(largest > 0, largest, 1)[:, None]).astype(np.float32)
    weighted = shares
    if importance is not None:
        peak = importance.max(axis=1, initial=0, keepdims=True)
        importance = (importance / np.where(peak > 0, peak, 1)).astype(np.float32)
        weighted = shares * importance
        # Channels without observed inputs: all weights count the same.
        unobserved = ~weighted.any(axis=1)
        importance[unobserved], weighted[unobserved] = 1, shares[unobserved]

    held = np.empty_like(shares)

    def best_scale(steps: Doubles) -> tuple[Doubles, Doubles]:
        """The least-squares scale for each channel's step, and its reduction of the error."""
        np.multiply(shares, (1 / steps).astype(np.float32)[:, None], out=held)
        levels = grid.nearest(held, out=held)
        product = np.vecdot(levels, weighted).astype(np.float64)
        if importance is None:
            square = np.vecdot(levels, levels)
        else:
            levels *= levels
            square = np.vecdot(levels, importance)
        scale = product / np.where(square > 0, square, 1)
        return scale, np.where(product > 0, scale * product, 0)

    widest = np.full(len(matrix), 1 / grid.highest)
    best, best_gain = best_scale(widest)

    def search(center: Doubles, candidates: Doubles) -> None:
        nonlocal best, best_gain
        for candidate in candidates:
            scale, gain = best_scale(center * candidate)
            best = np.where(gain > best_gain, scale, best)
            best_gain = np.maximum(gain, best_gain)

    search(widest, _COARSE[1:])
    best = np.where(best > 0, best, 1)
    search(best, _FINE)
    for _ in range(_REFINEMENTS):
        best, best_gain = best_scale(np.where(best_gain > 0, best, 1))
    scales: Doubles = np.where(best_gain > 0, best * largest, 0)
    return scales
