"""Rounding to tables of levels: to nearest, or with compensated errors.

Each function corresponds to its namesake in :mod:`~quantkit.codecs.tables`, which it calls if the
weight has no second moments. With moments, see :mod:`~quantkit.codecs.compensated`: a group chooses
its table just before it is rounded, for the compensated values of its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Booleans, Doubles, FloatArray, IndexArray
from quantkit.codecs.base import Weight
from quantkit.codecs.bins import LEVEL_BINS, choose_tables
from quantkit.codecs.compensated import Grid, Laid, LevelArray, lay_and_round
from quantkit.codecs.kmeans import Float64Array
from quantkit.codecs.lookup import CodeArray, TableArray
from quantkit.codecs.tables import (
    Fitted,
    fit_channel_tables,
    fit_choices,
    fit_scales,
    fit_tables,
)

# What int8 tables hold.
_LOWEST, _HIGHEST = -128, 127
# Weights whose codes are found at a time.
_BLOCK = 1 << 16


def round_tables(
    weight: Weight, levels: int, *, group_size: int | None = None, tables: int = 1
) -> Fitted:
    """See :func:`~quantkit.codecs.tables.fit_tables`."""
    return _round_shared(
        weight, lambda rows: fit_tables(rows, levels, group_size=group_size, tables=tables)
    )


def round_scales(weight: Weight, levels: Float64Array) -> Fitted:
    """See :func:`~quantkit.codecs.tables.fit_scales`."""
    return _round_shared(weight, lambda rows: fit_scales(rows, levels))


def round_choices(weight: Weight, tables: TableArray, group_size: int | None = None) -> Fitted:
    """See :func:`~quantkit.codecs.tables.fit_choices`."""
    # Borders between levels are found on a grid of an eighth of a step: too coarse for the borders
    # of two or three levels, unless steps are small. A power of two changes no scale.
    finer, lowest, highest = 1, int(tables.min()), int(tables.max())
    while 2 * finer * highest <= _HIGHEST and 2 * finer * lowest >= _LOWEST:
        finer *= 2
    if weight.scale is not None:
        weight = replace(weight, scale=weight.scale / np.float32(finer))
    spread = tables * np.int8(finer)
    fitted = _round_shared(weight, lambda rows: fit_choices(rows, spread, group_size))
    return replace(fitted, tables=tables, scale=fitted.scale * np.float32(finer))


def round_channel_tables(weight: Weight, levels: int) -> Fitted:
    """See :func:`~quantkit.codecs.tables.fit_channel_tables`."""

    def lay(rows: Weight) -> Laid[_Own]:
        fitted = fit_channel_tables(rows, levels)
        return Laid(_Own(fitted.scale, fitted.tables), fitted.levels().astype(np.int16))

    laid = lay_and_round(weight, lay)
    channels = np.arange(len(laid.levels))
    codes = _codes(laid.levels, laid.grid.tables, channels)
    return Fitted(codes, channels, laid.grid.tables, laid.grid.scale)


def _round_shared(weight: Weight, fit: Callable[[Weight], Fitted]) -> Fitted:
    def lay(rows: Weight) -> Laid[_Shared]:
        fitted = fit(rows)
        channels, inputs = rows.values.shape
        groups, size = len(fitted.choices) // max(channels, 1), fitted.codes.shape[1]
        choices = fitted.choices.reshape(channels, groups)
        levels = fitted.levels().reshape(channels, groups * size)[:, :inputs]
        group = size if len(fitted.tables) > 1 else 1
        grid = _Shared(fitted.scale, _Places(fitted.tables), choices, group)
        return Laid(grid, levels.astype(np.int16))

    laid = lay_and_round(weight, lay)
    grid = laid.grid
    tables, choices = grid.places.tables, grid.choices.reshape(-1)
    filling = -laid.levels.shape[1] % grid.group
    filled = np.pad(laid.levels, ((0, 0), (0, filling)))
    levels = filled.reshape(len(choices), filled.size // max(len(choices), 1))
    return Fitted(_codes(levels, tables, choices), choices, tables, grid.scale)


def _codes(levels: LevelArray, tables: TableArray, choices: npt.NDArray[Any]) -> CodeArray:
    """Position of each row's levels in its table; padding gets an arbitrary code."""
    all_levels = np.arange(_LOWEST, _HIGHEST + 1)
    code_of = np.empty((len(tables), len(all_levels)), np.uint8)
    for row, table in zip(code_of, tables, strict=True):
        row[:] = np.minimum(np.searchsorted(table, all_levels), len(table) - 1)
    # A look at a small table is faster than a search for each weight.
    starts = choices.astype(np.intp) * len(all_levels) - _LOWEST
    codes = np.empty(levels.shape, np.uint8)
    some = max(_BLOCK // max(levels.shape[1], 1), 1)
    for start in range(0, len(levels), some):
        block = slice(start, start + some)
        code_of.take(levels[block] + starts[block, None], out=codes[block], mode="clip")
    return codes


class _Places:
    """The level nearest to each of a number of evenly spaced places, for each table."""

    def __init__(self, tables: TableArray) -> None:
        self.tables = tables

    @cached_property
    def levels(self) -> FloatArray:
        """The nearest levels: for all places in the first table, then in the next."""
        codes, _ = self._nearest
        levels = np.take_along_axis(self.tables, codes.astype(np.intp), axis=1)
        return levels.astype(np.float32).reshape(-1)

    @property
    def distances(self) -> FloatArray:
        """(places, tables), squared."""
        return self._nearest[1]

    @cached_property
    def _nearest(self) -> tuple[CodeArray, FloatArray]:
        return LEVEL_BINS.nearest(self.tables.astype(np.float64))


@dataclass
class _Shared(Grid):
    """Tables of a layer, of which each group of columns of a channel takes one.

    See :class:`~quantkit.codecs.compensated.Grid`.

    Args:
        choices: (channels, groups).
        group: columns in a group; 1 if there is one table.
    """

    scale: FloatArray
    places: _Places
    choices: npt.NDArray[Any]
    group: int

    def copy(self) -> Self:
        return replace(self, scale=self.scale.copy(), choices=self.choices.copy())

    def take_better(self, other: Self, own_errors: Doubles, errors: Doubles) -> Booleans:
        better = bool(errors.sum() < own_errors.sum())
        if better:
            self.scale, self.places = other.scale.copy(), other.places
            self.choices = other.choices.copy()
        return np.full(errors.shape, better)

    def open(
        self, channels: slice, columns: IndexArray, ratios: FloatArray, masses: FloatArray
    ) -> None:
        if self.group == 1:
            return
        bins = LEVEL_BINS.index(np.ascontiguousarray(ratios.T))
        chosen = choose_tables(bins, np.broadcast_to(masses, bins.shape), self.places.distances)
        self.choices[channels, columns[0] // self.group] = chosen

    def nearest(self, channels: slice, column: int, ratios: FloatArray) -> FloatArray:
        index = LEVEL_BINS.index(ratios)
        if self.group > 1:
            chosen = self.choices[channels, column // self.group]
            index += chosen.astype(np.intp) * LEVEL_BINS.count
        found: FloatArray = self.places.levels[index]
        return found


@dataclass
class _Own(Grid):
    """A table for each channel. See :class:`~quantkit.codecs.compensated.Grid`."""

    scale: FloatArray
    tables: TableArray
    group = 1

    def copy(self) -> Self:
        return type(self)(self.scale.copy(), self.tables.copy())

    def take_better(self, other: Self, own_errors: Doubles, errors: Doubles) -> Booleans:
        better = errors < own_errors
        self.scale[better], self.tables[better] = other.scale[better], other.tables[better]
        return better

    def open(
        self, channels: slice, columns: IndexArray, ratios: FloatArray, masses: FloatArray
    ) -> None:
        """Nothing to choose."""

    def nearest(self, channels: slice, column: int, ratios: FloatArray) -> FloatArray:
        tables = self.tables[channels].astype(np.float32)
        middles = (tables[:, 1:] + tables[:, :-1]) / 2
        codes = (ratios[:, None] > middles).sum(axis=1)
        found: FloatArray = tables[np.arange(len(codes)), codes]
        return found
