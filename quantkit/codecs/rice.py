"""Entropy-coded weights: pairs of levels, the more frequent ones in fewer bits.

The last of the three stages of Han et al. ("Deep Compression", 2016): levels that occur often get
short codes. At equal error, evenly spaced levels with an ideal code take a quarter of a bit less
than the best table of 2ᵇ levels (Gish and Pierce, "Asymptotically efficient quantizing", 1968).

Two neighbouring weights are coded together. The pairs of a layer are ranked by how often they
occur, and the rank is written as a Rice code (:mod:`~quantkit.codecs.golomb`). For normally
distributed weights that is nearly ideal: pairs of rank n lie on a circle of area πr² = n, so the
probability exp(−r²/2σ²) falls geometrically with the rank, and geometric numbers are what Rice
codes are for. It takes 0.02 to 0.04 bits per weight above the entropy of independent weights.
Neighbouring taps of a convolution are alike; then pairs take less than that entropy.

A pair and its negative are as frequent as each other, so only one of them is in the table: rank 0
is (0, 0), and ranks 2k − 1 and 2k are the k-th pair and its negative.

The size of the file follows from the bits alone. The step between levels, which is the same for all
channels, is chosen so that the codes fill it; see
:mod:`~quantkit.codecs.priced_rounding`. Channels of large weights get more bits that way, which is
what minimises the total error (Gersho and Gray, "Vector Quantization and Signal Compression", 1992,
section 8.3).

Decoding makes about 25 bytes of intermediates per weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from quantkit.arrays import IndexArray, IntArray
from quantkit.codecs.base import DecodeBuilder, Encoded, Levels, Packed, Part, Weight
from quantkit.codecs.golomb import RiceCode
from quantkit.codecs.priced_rounding import round_priced
from quantkit.codecs.symbols import reshaped
from quantkit.errors import InputError

_FEWEST_BITS, _MOST_BITS = 1.0, 5.0
#: Bits of a pair, less those of the zeros and ones when these are halves each: for normal weights
#: between 1.6 and 2.6 of them are best.
_UNARY = 1.6
#: Ranks take at most so many times 2ˡ; the rank is exceeded by one normal pair in 2¹⁶ or fewer.
_RUNS = 32
#: Pairs of a table, at least: few bits have small tables, and the largest weights need a place.
_FEWEST_PAIRS = 128
#: The largest level, in radii of the circle that has as many pairs as the table.
_REACH = 2.0
# Pairs whose distances from all of a table are in memory at once.
_SOME = 1024


@dataclass(frozen=True)
class Rice:
    """Evenly spaced levels in any number of bits on average, such as 2.85.

    Args:
        bits: of codes per weight, 1 to 5. A layer's table takes up to 4 kB more.

    Raises:
        InputError: ``bits`` is out of its range.
    """

    name: ClassVar[str] = "rice"
    opset: ClassVar[int] = 18

    bits: float

    def __post_init__(self) -> None:
        if not _FEWEST_BITS <= self.bits <= _MOST_BITS:
            raise InputError(
                f"rice codes take {_FEWEST_BITS:g} to {_MOST_BITS:g} bits, not {self.bits:g}"
            )

    @property
    def low_bits(self) -> int:
        """Of each rank, stored as they are."""
        return max(0, math.floor(2 * self.bits - _UNARY))

    @property
    def table_pairs(self) -> int:
        """How many pairs the table has."""
        return max(_FEWEST_PAIRS, _RUNS // 2 << self.low_bits)

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """Row of bits, low bits of the ranks, table of pairs."""
        table = Part("pairs", TensorProto.INT8, (self.table_pairs, 2))
        return (*self._code(math.prod(shape)).parts(), table)

    def encode(self, weight: Weight) -> Encoded:
        """Choose the step that fills the bits, and round by error and length of the code."""
        code = self._code(weight.values.size)
        radius = math.sqrt((2 * self.table_pairs + 1) / math.pi)

        def unary_bits(levels: Levels) -> int:
            pairs = _in_pairs(levels)
            return int(code.lengths(PairTable.of(pairs, self.table_pairs).ranks(pairs)).sum())

        rounded = round_priced(weight, unary_bits, code.unary, round(_REACH * radius))
        pairs = _in_pairs(rounded.levels)
        table = PairTable.of(pairs, self.table_pairs)
        ranks = table.ranks(pairs)
        flat = table.all_pairs[ranks].reshape(-1)[: weight.values.size]
        levels = np.ascontiguousarray(flat.reshape(weight.values.shape))
        packed = (*code.pack(ranks), Packed.of("pairs", table.pairs))
        return Encoded(levels, rounded.scale, weight.axis, packed)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Decode the ranks, and look up their pairs."""
        count = math.prod(shape)
        half = names["pairs"]
        both = builder.add("Concat", half, builder.add("Neg", half), axis=1)
        both = builder.add("Reshape", both, builder.vector(-1, 2))
        none = builder.shared("pair0", np.zeros((1, 2), np.int8))
        table = builder.add("Concat", none, both, axis=0)
        value = builder.add("Gather", table, self._code(count).unpack(names, builder))
        return reshaped(value, 2 * _pairs(count), shape, builder)

    def _code(self, count: int) -> RiceCode:
        pairs = _pairs(count)
        unary = math.floor(pairs * (2 * self.bits - self.low_bits))
        return RiceCode(pairs, self.low_bits, max(unary, pairs))


@dataclass(frozen=True)
class PairTable:
    """Pairs of levels by rank.

    Args:
        pairs: (pairs, 2) int8, without their negatives and (0, 0).
    """

    pairs: npt.NDArray[np.int8]

    @classmethod
    def of(cls, pairs: npt.NDArray[np.int8], size: int) -> PairTable:
        """The ``size`` most frequent ones; then, and of equally frequent ones, the shortest.

        Args:
            pairs: that occur, (pairs, 2).
        """
        reach = max(_reach_of(size), int(np.abs(pairs).max(initial=0)))
        side = 2 * reach + 1
        counts = np.bincount(_cells(pairs, reach), minlength=side * side)
        # A pair and its negative lie opposite each other; (0, 0) is in the middle.
        middle = side * side // 2
        both = counts[middle + 1 :] + counts[:middle][::-1]
        cells = np.arange(middle + 1, side * side)
        first, second = cells // side - reach, cells % side - reach
        order = np.lexsort((cells, first**2 + second**2, -both))[:size]
        return cls(np.stack([first[order], second[order]], axis=1).astype(np.int8))

    @property
    def all_pairs(self) -> npt.NDArray[np.int8]:
        """(ranks, 2)."""
        both = np.concatenate([self.pairs, -self.pairs], axis=1).reshape(-1, 2)
        return np.concatenate([np.zeros((1, 2), np.int8), both])

    def ranks(self, pairs: npt.NDArray[np.int8]) -> IntArray:
        """Of each pair; a pair that is not in the table gets the rank of the nearest one."""
        known = self.all_pairs
        reach = int(np.abs(pairs).max(initial=0))
        reach = max(reach, int(np.abs(known).max()))
        by_cell = np.full((2 * reach + 1) ** 2, -1, np.int64)
        by_cell[_cells(known, reach)] = np.arange(len(known))
        cells = _cells(pairs, reach)
        found: IntArray = by_cell[cells]
        missing, where = np.unique(cells[found < 0], return_inverse=True)
        if missing.size:
            side = 2 * reach + 1
            wanted = np.stack([missing // side - reach, missing % side - reach], axis=1)
            found[found < 0] = _nearest_rows(known, wanted)[where]
        return found


def _nearest_rows(known: npt.NDArray[np.int8], wanted: IntArray) -> IndexArray:
    """For each of ``wanted``, (…, 2), the first of the nearest rows of ``known``."""
    places = known.astype(np.float32)
    squares = np.square(places).sum(axis=1)
    found = np.empty(len(wanted), np.intp)
    for begin in range(0, len(wanted), _SOME):
        some = slice(begin, begin + _SOME)
        away = squares - 2 * wanted[some].astype(np.float32) @ places.T
        found[some] = away.argmin(axis=1)
    return found


def _cells(pairs: npt.NDArray[np.int8], reach: int) -> IndexArray:
    """Where each pair lies in a square from −reach to reach, in C order."""
    wide = pairs.astype(np.intp) + reach
    cells: IndexArray = wide[:, 0] * (2 * reach + 1) + wide[:, 1]
    return cells


def _reach_of(size: int) -> int:
    """Half the side of a square that holds more than ``size`` pairs and their negatives."""
    return math.ceil(math.sqrt(2 * size + 1) / 2)


def _pairs(count: int) -> int:
    return -(-count // 2)


def _in_pairs(levels: Levels) -> npt.NDArray[np.int8]:
    """(pairs, 2), in C order of the weight; one that is left over is paired with 0."""
    flat = levels.reshape(-1)
    if flat.size % 2:
        flat = np.append(flat, 0)
    return flat.reshape(-1, 2).astype(np.int8)
