"""Fit tables of int8 levels to a weight; each group of weights uses the best table.

One table for all, or one for each channel, is a codebook. With several tables and short groups, the
choice follows the local magnitude, like the two-level scales of Dai et al. ("VS-Quant", 2021,
section 4), but the levels are fitted to the weights instead of being evenly spaced.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray, IndexArray
from quantkit.codecs.base import Weight
from quantkit.codecs.channels import channels_first
from quantkit.codecs.kmeans import Float64Array, k_means
from quantkit.codecs.lookup import CodeArray, TableArray
from quantkit.codecs.uniform import VANISHING, normal_scale
from quantkit.errors import InputError

#: The largest level of int8, unless the weight says another one.
_LIMIT = 127
#: Weights that tables are learned from; more change the result little. A single table costs less,
#: and is learned from whole channels, of which there should be many.
_SAMPLE = 1 << 16
_SAMPLE_OF_ONE_TABLE = 1 << 22
_LEARNING_ROUNDS = 16
#: Where only the size of the error matters: it is up to 2 % above that of 16 rounds.
_LEARNING_ROUNDS_FOR_ESTIMATES = 8
#: With one table, a round costs less and gains more.
_SCALE_ROUNDS, _SCALE_ROUNDS_OF_ONE_TABLE = 2, 12
#: A channel's own table fits from the start, except for rounding.
_SCALE_ROUNDS_OF_OWN_TABLES = 3
#: Weights worked on at a time: their intermediate values for all tables stay in cache.
_BLOCK = 1 << 15
#: The same where many channels at once matter more.
_LARGE_BLOCK = 1 << 20
#: Candidates for what becomes the largest level, as shares of the outermost one. Smaller shares
#: clip a few weights and give all others a finer grid. At 6 bits that reduces the error by up to a
#: third.
_REACHES = (1.0, 0.8, 0.65, 0.5)
#: First scales that are tried for tables that stand fixed: how many, and by how many root mean
#: squares the outermost level of the first ends beyond zero.
_SHARES, _WIDEST = 24, 6.0
#: Lower bound of importance, as a share of its mean: users may say what calibration did not
#: contain.
_LEAST_IMPORTANCE = 1e-3


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
    groups = _Groups.of(weight, group_size)
    units = groups.root_mean_squares()
    rounds = _LEARNING_ROUNDS_FOR_ESTIMATES if weight.for_estimate else _LEARNING_ROUNDS
    learned = _learn(groups, units, levels, tables, rounds if tables > 1 else 1)
    return _fit_scales(groups, units, learned, _limit(weight))


def fit_scales(weight: Weight, levels: Float64Array) -> Fitted:
    """Codes and scales for one table of fixed levels.

    Args:
        weight: to fit; its channels are the groups.
        levels: (levels,) ascending, in units of a channel's root mean square.
    """
    if weight.tables is not None:
        return _on_given(weight, weight.tables, None)
    groups = _Groups.of(weight, None)
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
    groups = _Groups.of(weight, group_size)
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
    groups = _Groups.of(weight, None)
    channels, inputs = groups.values.shape
    units = groups.root_mean_squares()
    codes = np.zeros((channels, inputs), np.uint8)
    tables = np.zeros((channels, levels), np.int8)
    scale = np.zeros(channels, np.float32)
    vanishing = (units.max(initial=0) or 1.0) * VANISHING
    limit = _limit(weight)
    for block, values, importance in groups.blocks(_LARGE_BLOCK):
        unit = units[block]
        centers = _centers_of_channels(values, importance, unit, levels)
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
    groups = _Groups.of(weight, group_size)
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


def _centers_of_channels(
    values: FloatArray, importance: FloatArray, units: Float64Array, count: int
) -> Float64Array:
    """k-means of each channel in units of its root mean square: (channels, count)."""
    unit = np.where(units > 0, units, 1)[:, None]
    bins = _UNIT_BINS.index((values / unit).astype(np.float32))
    bins += np.arange(len(values))[:, None] * _UNIT_BINS.count
    size = len(values) * _UNIT_BINS.count
    masses = np.bincount(bins.reshape(-1), importance.reshape(-1), size)
    rows = masses.astype(np.float64).reshape(len(values), _UNIT_BINS.count)
    return k_means(_UNIT_BINS.places(), rows, count)


@dataclass(frozen=True)
class _Groups:
    """A weight as groups of equal size; padding is 0 and has no importance.

    Args:
        values: (channels, groups of a channel · group size).
        importance: the same, or (1, …) where it is the same for all channels; 1 on average.
        size: of a group.
    """

    values: FloatArray
    importance: FloatArray
    size: int

    @classmethod
    def of(cls, weight: Weight, size: int | None) -> _Groups:
        """Of ``size`` weights, or of a whole channel each."""
        shape = channels_first(weight.values.shape, weight.axis)
        values = np.moveaxis(weight.values, weight.axis, 0).reshape(shape[0], math.prod(shape[1:]))
        if size is None:
            size = max(values.shape[1], 1)
        filling = [(0, 0), (0, -values.shape[1] % size)]
        importance = np.ones((1, values.shape[1]), np.float32)
        if weight.importance is not None:
            missing = weight.values.ndim - weight.importance.ndim
            given = weight.importance.reshape((1,) * missing + weight.importance.shape)
            wanted = list(weight.values.shape)
            wanted[weight.axis] = given.shape[weight.axis]
            given = np.moveaxis(np.broadcast_to(given, wanted), weight.axis, 0)
            given = given.reshape(len(given), values.shape[1])
            mean = given.mean(dtype=np.float64) if given.size else 0
            if mean > 0:
                importance = np.maximum(given / mean, _LEAST_IMPORTANCE).astype(np.float32)
        return cls(np.pad(values, filling), np.pad(importance, filling), size)

    def blocks(self, size: int = _BLOCK) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Some channels at a time: which, their values, and importance in the same shape.

        Args:
            size: about how many weights at a time.
        """
        channels, inputs = self.values.shape
        some = max(size // max(inputs, 1), 1)
        for start in range(0, channels, some):
            block = slice(start, min(start + some, channels))
            values = self.values[block]
            importance = self.importance if len(self.importance) == 1 else self.importance[block]
            yield block, values, np.broadcast_to(importance, values.shape)

    def root_mean_squares(self) -> Float64Array:
        """Of each channel, weighted by importance; (channels,), 0 for channels of zeros."""
        found = np.zeros(len(self.values))
        for block, values, importance in self.blocks():
            largest = np.abs(values).max(axis=1, initial=0).astype(np.float64)
            # So that squares neither overflow nor underflow, whatever the magnitude.
            shares = values / np.where(largest > 0, largest, 1)[:, None].astype(np.float32)
            mean = np.einsum("ci,ci,ci->c", shares, shares, importance, dtype=np.float64)
            found[block] = largest * np.sqrt(mean / np.maximum(importance.sum(axis=1), 1e-30))
        return found

    def sample(self, units: Float64Array, limit: int) -> tuple[FloatArray, FloatArray]:
        """Every n-th group: its values in units of its channel, and the weights of their errors.

        At most about ``limit`` weights, spread evenly over the positions of a channel.

        Returns:
            Both (groups, group size).
        """
        per_channel = self.values.shape[1] // self.size
        total = len(self.values) * per_channel
        step = max(total * self.size // limit, 1)
        # A step that divides the channel length would sample the same positions of each channel.
        while math.gcd(step, per_channel) > 1:
            step += 1
        every = np.arange(0, total, step)
        channel, place = np.divmod(every, max(per_channel, 1))
        values = self.values.reshape(len(self.values), per_channel, self.size)[channel, place]
        rows = channel if len(self.importance) > 1 else np.zeros_like(channel)
        importance = self.importance.reshape(len(self.importance), per_channel, self.size)[
            rows, place
        ]
        unit = units[channel, None]
        alive = unit > 0
        largest = units.max(initial=0) or 1.0
        return (
            np.where(alive, values / np.where(alive, unit, 1), 0).astype(np.float32),
            (importance * (unit / largest) ** 2).astype(np.float32),
        )


@dataclass(frozen=True)
class Bins:
    """Evenly spaced places on the line, each representing the values around it.

    Args:
        reach: the outermost places are ± this.
        count: of places.
    """

    reach: float
    count: int

    def places(self) -> Float64Array:
        return np.linspace(-self.reach, self.reach, self.count)

    @cached_property
    def _scale(self) -> np.float32:
        return np.float32((self.count - 1) / (2 * self.reach))

    @cached_property
    def _middle(self) -> np.float32:
        return np.float32((self.count - 1) // 2)

    def index(self, values: FloatArray) -> IndexArray:
        """The place nearest to each of ``values``."""
        places = values * self._scale
        np.rint(places, out=places)
        places += self._middle
        # Called for every column of a weight: the method is faster than np.clip.
        places.clip(0, self.count - 1, out=places)
        index: IndexArray = places.astype(np.intp)
        return index

    def nearest(self, tables: Float64Array) -> tuple[CodeArray, FloatArray]:
        """For each place and table the nearest level's code, and its squared distance.

        Returns:
            Codes (tables, places) and distances (places, tables).
        """
        counts = self._counts(tables)
        codes = np.tile(np.arange(tables.shape[1], dtype=np.uint8), len(tables)).repeat(counts)
        return codes.reshape(len(tables), self.count), self._distances(tables, counts)

    def distances(self, tables: Float64Array) -> FloatArray:
        """The second of :meth:`nearest` alone."""
        return self._distances(tables, self._counts(tables))

    def _counts(self, tables: Float64Array) -> IndexArray:
        """How many places each level is nearest to: (tables · levels,)."""
        # A search for the few borders is faster than one for the many places.
        borders = np.searchsorted(self.places(), (tables[:, 1:] + tables[:, :-1]) / 2, "right")
        return np.diff(borders, axis=1, prepend=0, append=self.count).reshape(-1)

    def _distances(self, tables: Float64Array, counts: IndexArray) -> FloatArray:
        nearest = tables.reshape(-1).repeat(counts).reshape(len(tables), self.count)
        found: FloatArray = np.ascontiguousarray(
            np.square(self.places() - nearest).astype(np.float32).T
        )
        return found


#: For weights in units of their channel's root mean square: covers all but rare outliers.
_UNIT_BINS = Bins(32.0, 8193)
#: For weights in steps of the int8 grid, where no level exceeds ±127.
LEVEL_BINS = Bins(256.0, 4097)


def _learn(
    groups: _Groups, units: Float64Array, levels: int, tables: int, rounds: int
) -> Float64Array:
    """Tables in units of a channel's root mean square: (tables, levels)."""
    limit = _SAMPLE if tables > 1 else _SAMPLE_OF_ONE_TABLE
    values, masses = groups.sample(units, limit)
    bins = _UNIT_BINS.index(values)
    places = _UNIT_BINS.places()
    choices = _by_magnitude(values, masses, tables)
    learned = np.zeros((tables, levels))
    weights = masses.reshape(-1).astype(np.float64)
    for left in reversed(range(rounds)):
        flat = (choices[:, None] * _UNIT_BINS.count + bins).reshape(-1)
        size = tables * _UNIT_BINS.count
        histogram = np.bincount(flat, weights, size)
        rows = histogram.astype(np.float64).reshape(tables, -1)
        learned = k_means(places, rows, levels)
        # The last choices would lead to nothing, and the same choices to the same tables.
        if not left:
            break
        chosen = choose_tables(bins, masses, _UNIT_BINS.distances(learned))
        if np.array_equal(chosen, choices):
            break
        choices = chosen
    return learned


def _by_magnitude(values: FloatArray, masses: FloatArray, tables: int) -> IndexArray:
    """Groups binned by root mean square: (groups,), from 0 to ``tables`` − 1."""
    mass = masses.sum(axis=1, dtype=np.float64)
    energy = np.einsum("gi,gi,gi->g", values, values, masses, dtype=np.float64)
    magnitude = np.sqrt(energy / np.where(mass > 0, mass, 1)).astype(np.float64)
    order = np.argsort(magnitude, kind="stable")
    centers = k_means(magnitude[order], mass[order].astype(np.float64), tables)
    return np.asarray(np.searchsorted((centers[1:] + centers[:-1]) / 2, magnitude), np.intp)


def choose_tables(bins: IndexArray, masses: FloatArray, distances: FloatArray) -> IndexArray:
    """For each group the table with the least error.

    Args:
        bins, masses: (groups, group size).
        distances: (places, tables).
    """
    choices = np.empty(len(bins), np.intp)
    some = max(_BLOCK // bins.shape[1], 1)
    held = np.empty((min(some, len(bins)), bins.shape[1], distances.shape[1]), np.float32)
    for start in range(0, len(bins), some):
        block = slice(start, start + some)
        found = held[: len(bins[block])]
        # Faster than an index, and a product faster than a sum over named dimensions.
        np.take(distances, bins[block], axis=0, out=found, mode="clip")
        errors = (masses[block, None, :] @ found)[:, 0]
        choices[block] = errors.argmin(axis=1)
    return choices


def _limit(weight: Weight) -> int:
    """How far from zero the levels of a table may be."""
    return _LIMIT if weight.largest_level is None else min(weight.largest_level, _LIMIT)


def _fit_scales(groups: _Groups, units: Float64Array, tables: Float64Array, limit: int) -> Fitted:
    """Round ``tables`` to whole numbers up to ± ``limit``, and find scale, choices and codes
    alternately."""
    steps, rounded = _on_integers(groups, units, tables, limit)
    vanishing = (units.max(initial=0) or 1.0) * VANISHING
    return _alternate(groups, rounded, normal_scale(np.where(units > 0, units / steps, vanishing)))


def _alternate(groups: _Groups, rounded: Float64Array, scale: FloatArray) -> Fitted:
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


def _best_shares(groups: _Groups, units: Float64Array, tables: Float64Array) -> Float64Array:
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
    groups: _Groups, units: Float64Array, tables: Float64Array, limit: int
) -> tuple[float, Float64Array]:
    """Steps of the grid in a channel's root mean square, and ``tables`` on its whole numbers.

    The best of :data:`_REACHES` by the error on a sample.
    """
    values, masses = groups.sample(units, _SAMPLE)
    bins = _UNIT_BINS.index(values)
    largest = float(np.abs(tables).max(initial=0)) or 1.0

    def rounded(steps: float) -> Float64Array:
        found: Float64Array = np.clip(np.rint(tables * steps), -limit, limit)
        return found

    def error(steps: float) -> float:
        distances = _UNIT_BINS.distances(rounded(steps) / steps)
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
