"""Rounding to evenly spaced levels: to nearest, or with compensated errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from quantkit.arrays import Booleans, Doubles, FloatArray, IndexArray
from quantkit.codecs.base import Levels, Weight
from quantkit.codecs.channels import from_rows, to_rows
from quantkit.codecs.compensated import Grid, Laid, lay_and_round
from quantkit.codecs.uniform import UniformGrid, fit_uniform


def round_uniform(
    weight: Weight, grid: UniformGrid, kept: Booleans | None = None, *, once: bool = False
) -> tuple[Levels, FloatArray]:
    """Levels and per-channel scales with little error.

    The error is that of the layer's output if the weight has second moments
    (:mod:`~quantkit.codecs.compensated`), else that of the weight. The result is that of
    :func:`~quantkit.codecs.uniform.fit_uniform`.

    Args:
        weight: to round.
        grid: its levels; those beyond the weight's ``largest_level`` are left out.
        kept: mask in the shape of the weight; other weights become zero. None: all are kept.
        once: see :func:`~quantkit.codecs.compensated.lay_and_round`.
    """
    grid = grid.within(weight.largest_level)
    kept_rows = None if kept is None else to_rows(kept, weight.axis)

    def lay(rows: Weight) -> Laid[_Evenly]:
        if kept_rows is None:
            levels, scale = fit_uniform(rows, grid)
        else:
            importance = np.float32(1) if rows.importance is None else rows.importance
            alone = replace(rows, importance=(importance * kept_rows).astype(np.float32))
            levels, scale = fit_uniform(alone, grid)
            levels[~kept_rows] = 0
        return Laid(_Evenly(grid, scale, kept_rows), levels.astype(np.int16, copy=False))

    laid = lay_and_round(weight, lay, once=once)
    levels = laid.levels.astype(np.int8 if grid.highest <= 127 else np.int16, copy=False)
    return from_rows(levels, weight.values.shape, weight.axis), laid.grid.scale


@dataclass
class _Evenly(Grid):
    """See :class:`~quantkit.codecs.compensated.Grid`.

    Args:
        kept: (channels, inputs), mask of the weights that do not become zero; None for all.
    """

    levels: UniformGrid
    scale: FloatArray
    kept: Booleans | None
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
        found = self.levels.nearest(ratios)
        if self.kept is not None:
            found *= self.kept[channels, column]
        return found
