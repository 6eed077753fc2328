"""Fit tables of int8 levels to a weight; each group of weights uses the best table.

One table for all, or one for each channel, is a codebook. With several tables and short groups, the
choice follows the local magnitude, like the two-level scales of Dai et al. ("VS-Quant", 2021,
section 4), but the levels are fitted to the weights instead of being evenly spaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray
from quantkit.codecs.base import Weight
from quantkit.codecs.bins import LEVEL_BINS, UNIT_BINS, choose_tables
from quantkit.codecs.kmeans import Float64Array
from quantkit.codecs.lookup import CodeArray, TableArray
from quantkit.codecs.table_learning import SAMPLE, centers_of_channels, learned_tables
from quantkit.codecs.uniform import VANISHING, normal_scale
from quantkit.codecs.weight_groups import WeightGroups
from quantkit.errors import InputError

#: The largest level of int8, unless the weight says another one.
_LIMIT = 127
_LEARNING_ROUNDS = 16
#: Where only the size of the error matters: it is up to 2 % above that of 16 rounds.
_LEARNING_ROUNDS_FOR_ESTIMATES = 8
#: With one table, a round costs less and gains more.
_SCALE_ROUNDS, _SCALE_ROUNDS_OF_ONE_TABLE = 2, 12
#: A channel's own table fits from the start, except for rounding.
_SCALE_ROUNDS_OF_OWN_TABLES = 3
#: Weights worked on at a time where many channels at once matter more than the cache.
_LARGE_BLOCK = 1 << 20
#: Candidates for what becomes the largest level, as shares of the outermost one. Smaller shares
#: clip a few weights and give all others a finer grid. At 6 bits that reduces the error by up to a
#: third.
_REACHES = (1.0, 0.8, 0.65, 0.5)
#: First scales that are tried for tables that stand fixed: how many, and by how many root mean
#: squares the outermost level of the first ends beyond zero.
_SHARES, _WIDEST = 24, 6.0


@dataclass(frozen=True)
class Fitted:
    """Codes, and the tables and scales to decode them.

    Args:
        codes: (groups, group size), channel after channel; those of the padding are arbitrary.
        choices: (groups,), integers: which table each group takes.
        tables: (tables, levels), each ascending.
        scale: (channels,) float32, positive and finite.
    """

    codes: CodeArray
    choices: npt.NDArray[Any]
    tables: TableArray
    scale: FloatArray

    def levels(self) -> TableArray:
        """The levels of the codes: (groups, group size)."""
        flat = self.choices.astype(np.int32)[:, None] * self.tables.shape[1] + self.codes
        levels: TableArray = self.tables.reshape(-1)[flat]
        return levels


def fit_tables(
    weight: Weight, levels: int, *, group_size: int | None = None, tables: int = 1
) -> Fitted:
    """Tables, choices, codes and scales with a small importance-weighted squared error.

    Weights are divided by the root mean square of their channel. Tables are learned from a sample
    of the groups, as in k-means: alternately, each table's levels become the one-dimensional
    k-means of its groups, and each group chooses the table with the least error. Then the choices
    and the least-squares scales of the channels are found alternately. Levels are rounded to int8,
    up to the weight's ``largest_level``; a few may be clipped if a finer grid reduces the total
    error.

    Args:
        weight: to fit.
        levels: in each table, at most 256.
        group_size: consecutive weights of a channel that use the same table; the last group of a
            channel is padded. None: the whole channel.
        tables: at most 256.
    """
    if weight.tables is not None:
        return _on_given(weight, weight.tables, group_size)
    groups = WeightGroups.of(weight, group_size)
    units = groups.root_mean_squares()
    rounds = _LEARNING_ROUNDS_FOR_ESTIMATES if weight.for_estimate else _LEARNING_ROUNDS
    learned = learned_tables(groups, units, levels, tables, rounds if tables > 1 else 1)
    return _fit_scales(groups, units, learned, _limit(weight))


def fit_scales(weight: Weight, levels: Float64Array) -> Fitted:
    """Codes and scales for one table of fixed levels.

    Args:
        weight: to fit; its channels are the groups.
        levels: (levels,) ascending, in units of a channel's root mean square.
    """
    if weight.tables is not None:
        return _on_given(weight, weight.tables, None)
    groups = WeightGroups.of(weight, None)
    return _fit_scales(groups, groups.root_mean_squares(), levels[None], _limit(weight))


def fit_choices(weight: Weight, tables: TableArray, group_size: int | None = None) -> Fitted:
    """Scales and choices for tables that no weight changes.

    The scale of a channel begins as the best of some shares of its root mean square; then codes,
    choices and least-squares scales are found alternately.

    Args:
        weight: to fit; given scales are kept.
        tables: (tables, levels) int8, each ascending.
        group_size: see :func:`fit_tables`.
    """
    if weight.scale is not None:
        return _on_given(weight, tables, group_size)
    groups = WeightGroups.of(weight, group_size)
    units = groups.root_mean_squares()
    vanishing = (units.max(initial=0) or 1.0) * VANISHING
    rounded = tables.astype(np.float64)
    scale = np.where(units > 0, units * _best_shares(groups, units, rounded), vanishing)
    return _alternate(groups, rounded, normal_scale(scale))


def fit_channel_tables(weight: Weight, levels: int) -> Fitted:
    """A table for each channel, with a small importance-weighted squared error.

    Its levels are the one-dimensional k-means of the channel's weights, rounded to a grid on which
    the outermost is ±127, or the weight's ``largest_level``. Then nearest levels and least-squares
    scale are found alternately.

    Args:
        weight: to fit; its channels are the groups, each with its own table.
        levels: in each table, at most 256.
    """
    if weight.tables is not None:
        return _on_given(weight, weight.tables, None, own=True)
    groups = WeightGroups.of(weight, None)
    channels, inputs = groups.values.shape
    units = groups.root_mean_squares()
    codes = np.zeros((channels, inputs), np.uint8)
    tables = np.zeros((channels, levels), np.int8)
    scale = np.zeros(channels, np.float32)
    vanishing = (units.max(initial=0) or 1.0) * VANISHING
    limit = _limit(weight)
    for block, values, importance in groups.blocks(_LARGE_BLOCK):
        unit = units[block]
        centers = centers_of_channels(values, importance, unit, levels)
        largest = np.abs(centers).max(axis=1)
        steps = limit / np.where(largest > 0, largest, 1)
        rounded = np.rint(centers * steps[:, None]).astype(np.float32)
        own = normal_scale(np.where(unit > 0, unit / steps, vanishing))
        for _ in range(_SCALE_ROUNDS_OF_OWN_TABLES):
            ratios = values / own[:, None]
            found = codes[block]
            for row, table, ratio in zip(found, rounded, ratios, strict=True):
                row[:] = np.searchsorted((table[1:] + table[:-1]) / 2, ratio)
            nearest = np.take_along_axis(rounded, found, axis=1)
            own = _least_squares(own, ratios, nearest, importance)
        tables[block], scale[block] = rounded, own
    return Fitted(codes, np.arange(channels), tables, scale)


def _on_given(
    weight: Weight, tables: TableArray, group_size: int | None, *, own: bool = False
) -> Fitted:
    """The nearest levels of given tables and scales; each group takes the table of least error.

    Args:
        own: each channel has a table of its own.

    Raises:
        InputError: the weight has no given scales.
    """
    if weight.scale is None:
        raise InputError("given tables need given scales")
    groups = WeightGroups.of(weight, group_size)
    scale = normal_scale(weight.scale.astype(np.float64))
    ratios = (groups.values / scale[:, None]).reshape(-1, groups.size)
    if own:
        choices = np.arange(len(ratios))
    elif len(tables) == 1:
        choices = np.zeros(len(ratios), np.intp)
    else:
        importance = np.broadcast_to(groups.importance, groups.values.shape)
        masses = np.ascontiguousarray(importance).reshape(ratios.shape)
        distances = LEVEL_BINS.distances(tables.astype(np.float64))
        choices = choose_tables(LEVEL_BINS.index(ratios), masses, distances)
    middles = (tables[:, 1:].astype(np.float32) + tables[:, :-1].astype(np.float32)) / 2
    codes = np.zeros(ratios.shape, np.uint8)
    for number, borders in enumerate(middles):
        chosen = choices == number
        codes[chosen] = np.searchsorted(borders, ratios[chosen])
    return Fitted(codes, choices, tables, scale)


def _limit(weight: Weight) -> int:
    """How far from zero the levels of a table may be."""
    return _LIMIT if weight.largest_level is None else min(weight.largest_level, _LIMIT)


def _fit_scales(
    groups: WeightGroups, units: Float64Array, tables: Float64Array, limit: int
) -> Fitted:
    """Round ``tables`` to whole numbers up to ± ``limit``, and find scale, choices and codes
    alternately."""
    steps, rounded = _on_integers(groups, units, tables, limit)
    vanishing = (units.max(initial=0) or 1.0) * VANISHING
    return _alternate(groups, rounded, normal_scale(np.where(units > 0, units / steps, vanishing)))


def _alternate(groups: WeightGroups, rounded: Float64Array, scale: FloatArray) -> Fitted:
    """Choices and codes for the scales, and least-squares scales for those, in turns.

    Args:
        rounded: (tables, levels), whole numbers.
        scale: (channels,), to begin with.
    """
    level_of = rounded.astype(np.float32).reshape(-1)
    code_of, distances = LEVEL_BINS.nearest(rounded)
    codes = np.empty(groups.values.shape, np.uint8)
    choices = np.zeros((len(scale), groups.values.shape[1] // groups.size), np.uint8)
    several = len(rounded) > 1
    for _ in range(_SCALE_ROUNDS if several else _SCALE_ROUNDS_OF_ONE_TABLE):
        for block, values, importance in groups.blocks():
            ratios = values / scale[block, None]
            bins = LEVEL_BINS.index(ratios).reshape(-1, groups.size)
            chosen = np.zeros(len(bins), np.intp)
            if several:
                masses = np.ascontiguousarray(importance).reshape(bins.shape)
                chosen = choose_tables(bins, masses, distances)
                choices[block] = chosen.reshape(choices[block].shape)
            found = code_of.reshape(-1)[chosen[:, None] * LEVEL_BINS.count + bins]
            codes[block] = found.reshape(ratios.shape)
            levels = level_of[chosen[:, None] * rounded.shape[1] + found].reshape(ratios.shape)
            scale[block] = _least_squares(scale[block], ratios, levels, importance)
    return Fitted(
        codes.reshape(-1, groups.size), choices.reshape(-1), rounded.astype(np.int8), scale
    )


def _best_shares(groups: WeightGroups, units: Float64Array, tables: Float64Array) -> Float64Array:
    """What share of each channel's root mean square is its best scale, of a few: (channels,)."""
    outermost = float(np.abs(tables).max())
    innermost = float(np.abs(tables).max(axis=1).min())
    shares = np.geomspace(_WIDEST / outermost, 1 / max(innermost, 1.0), _SHARES)
    distances = LEVEL_BINS.distances(tables)
    best = np.full(len(units), shares[0])
    least = np.full(len(units), np.inf)
    for share in shares:
        for block, values, importance in groups.blocks():
            scale = np.where(units[block] > 0, units[block] * share, 1.0)
            bins = LEVEL_BINS.index((values / scale[:, None]).astype(np.float32))
            bins = bins.reshape(-1, groups.size)
            masses = np.ascontiguousarray(importance).reshape(bins.shape)
            chosen = choose_tables(bins, masses, distances)
            each = (masses * distances[bins, chosen[:, None]]).sum(axis=1, dtype=np.float64)
            error = each.reshape(len(scale), -1).sum(axis=1) * share**2
            better = error < least[block]
            least[block] = np.where(better, error, least[block])
            best[block] = np.where(better, share, best[block])
    return best


def _on_integers(
    groups: WeightGroups, units: Float64Array, tables: Float64Array, limit: int
) -> tuple[float, Float64Array]:
    """Steps of the grid in a channel's root mean square, and ``tables`` on its whole numbers.

    The best of :data:`_REACHES` by the error on a sample.
    """
    values, masses = groups.sample(units, SAMPLE)
    bins = UNIT_BINS.index(values)
    largest = float(np.abs(tables).max(initial=0)) or 1.0

    def rounded(steps: float) -> Float64Array:
        found: Float64Array = np.clip(np.rint(tables * steps), -limit, limit)
        return found

    def error(steps: float) -> float:
        distances = UNIT_BINS.distances(rounded(steps) / steps)
        chosen = choose_tables(bins, masses, distances)
        return float((masses * distances[bins, chosen[:, None]]).sum(dtype=np.float64))

    best = min((limit / (reach * largest) for reach in _REACHES), key=error)
    return best, rounded(best)


def _least_squares(
    scale: FloatArray, ratios: FloatArray, levels: FloatArray, importance: FloatArray
) -> FloatArray:
    """The best scale for each channel's ``levels``, if ``ratios`` are weights / ``scale``."""
    product = np.einsum("ci,ci,ci->c", ratios, levels, importance)
    square = np.einsum("ci,ci,ci->c", levels, levels, importance)
    factor = np.where(product > 0, product / np.where(square > 0, square, 1), 1)
    return normal_scale((scale * factor).astype(np.float64))
