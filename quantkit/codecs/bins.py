"""Evenly spaced places that stand for the values around them.

With them, the nearest levels of many weights are looked up instead of searched for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quantkit.arrays import FloatArray, IndexArray
from quantkit.codecs.kmeans import Float64Array
from quantkit.codecs.lookup import CodeArray
from quantkit.codecs.weight_groups import BLOCK


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
UNIT_BINS = Bins(32.0, 8193)
#: For weights in steps of the int8 grid, where no level exceeds ±127.
LEVEL_BINS = Bins(256.0, 4097)


def choose_tables(bins: IndexArray, masses: FloatArray, distances: FloatArray) -> IndexArray:
    """For each group the table with the least error.

    Args:
        bins, masses: (groups, group size).
        distances: (places, tables).
    """
    choices = np.empty(len(bins), np.intp)
    some = max(BLOCK // bins.shape[1], 1)
    held = np.empty((min(some, len(bins)), bins.shape[1], distances.shape[1]), np.float32)
    for start in range(0, len(bins), some):
        block = slice(start, start + some)
        found = held[: len(bins[block])]
        # Faster than an index, and a product faster than a sum over named dimensions.
        np.take(distances, bins[block], axis=0, out=found, mode="clip")
        errors = (masses[block, None, :] @ found)[:, 0]
        choices[block] = errors.argmin(axis=1)
    return choices
