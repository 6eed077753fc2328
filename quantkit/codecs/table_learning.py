"""Learn tables of levels from weights, in units of their channel's root mean square."""

from __future__ import annotations

import numpy as np

from quantkit.arrays import FloatArray, IndexArray
from quantkit.codecs.bins import UNIT_BINS, choose_tables
from quantkit.codecs.kmeans import Float64Array, k_means
from quantkit.codecs.weight_groups import WeightGroups

#: Weights that tables are learned from; more change the result little. A single table costs less,
#: and is learned from whole channels, of which there should be many.
SAMPLE = 1 << 16
_SAMPLE_OF_ONE_TABLE = 1 << 22


def learned_tables(
    groups: WeightGroups, units: Float64Array, levels: int, tables: int, rounds: int
) -> Float64Array:
    """Tables in units of a channel's root mean square: (tables, levels)."""
    limit = SAMPLE if tables > 1 else _SAMPLE_OF_ONE_TABLE
    values, masses = groups.sample(units, limit)
    bins = UNIT_BINS.index(values)
    places = UNIT_BINS.places()
    choices = _by_magnitude(values, masses, tables)
    learned = np.zeros((tables, levels))
    weights = masses.reshape(-1).astype(np.float64)
    for left in reversed(range(rounds)):
        flat = (choices[:, None] * UNIT_BINS.count + bins).reshape(-1)
        size = tables * UNIT_BINS.count
        histogram = np.bincount(flat, weights, size)
        rows = histogram.astype(np.float64).reshape(tables, -1)
        learned = k_means(places, rows, levels)
        # The last choices would lead to nothing, and the same choices to the same tables.
        if not left:
            break
        chosen = choose_tables(bins, masses, UNIT_BINS.distances(learned))
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


def centers_of_channels(
    values: FloatArray, importance: FloatArray, units: Float64Array, count: int
) -> Float64Array:
    """k-means of each channel in units of its root mean square: (channels, count)."""
    unit = np.where(units > 0, units, 1)[:, None]
    bins = UNIT_BINS.index((values / unit).astype(np.float32))
    bins += np.arange(len(values))[:, None] * UNIT_BINS.count
    size = len(values) * UNIT_BINS.count
    masses = np.bincount(bins.reshape(-1), importance.reshape(-1), size)
    rows = masses.astype(np.float64).reshape(len(values), UNIT_BINS.count)
    return k_means(UNIT_BINS.places(), rows, count)
