"""Pruned weights: the positions of the kept ones, and their levels in a few bits.

Positions are stored in the smaller of two forms. The size of both depends only on the numbers of
weights and of kept weights:

- a bitmap, one bit per weight;
- the Rice code (:mod:`~quantkit.codecs.golomb`) of the gap before each kept weight. With l low bits
  it takes l + 1 bits per kept weight and 2⁻ˡ bits per weight, at most 1.4 bits per kept weight
  above the entropy, and is smaller if fewer than 3/16 are kept.

Since 1.27 ONNX Runtime folds only nodes whose output shape can be inferred, which excludes NonZero
unless the file declares its shape. So both forms are decoded with cumulative sums. Every
intermediate stays in memory until the folding ends. In bytes per weight, with a share d kept, that
is:

- bitmap: ½ each for the bytes as indices, their counts and the running sum of these, 2 each for
  places within bytes and indices of pairs, 1 each for the pairs, the masks, their product and the
  result in shape, 5d for the table of pairs: 9.5 + 5d;
- gaps, of 4 bits: 1 each for zeros, spread levels and the result in shape, 14.5 (1/16 + d) for the
  unary part, 8d for the low bits and 12d for the positions: 4 + 35d;
- and for both up to 8.5d to unpack the levels.

4 of the bitmap's bytes are indices, because Gather has no index type below int32 and at most two
weights can share an index: of three weights, any two can be the only ones kept and would have to be
neighbours in one row of the table, which only two of the three pairs are. With 23.6 million weights
loading plain int8 takes 110 MB. If all decoders are folded in one pass (see
:mod:`quantkit.codecs.rounds`), loading 4 bits for a tenth of them takes 261 MB, for 17 % 321 MB,
for 20 % 341 MB and for half 400 MB: more than three times as much from 18 % on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from quantkit.arrays import FloatArray
from quantkit.codecs.base import DecodeBuilder, Encoded, Packed, Part, Weight
from quantkit.codecs.golomb import RiceCode
from quantkit.codecs.symbols import Planes, reshaped
from quantkit.codecs.uniform import GridName, UniformGrid, reading_of
from quantkit.codecs.uniform_rounding import round_uniform
from quantkit.errors import InputError


@dataclass(frozen=True)
class Sparse:
    """Keeps the most important weights in 1 to 8 bits each; the others become zero.

    Smaller than a bit plane codec of the same bits b while less than a share 1 − 1/b of the weights
    is kept (for 1 bit: 5/32).

    Args:
        bits: of each kept weight, 1 to 8.
        nonzeros: how many weights to keep: those with the most importance · value². A kept weight
            may still round to zero on a mid-tread grid.
        keep: the same in per cent of the weights. One of the two must be set before encoding.
        grid: of the kept weights, see :data:`GridName`. None for midrise up to 7 bits, because kept
            weights need no zero level; then keep no more weights than are nonzero.

    Raises:
        InputError: there is no such grid, no such number of weights, or both are given.
    """

    name: ClassVar[str] = "sparse"
    opset: ClassVar[int] = 18

    bits: int
    nonzeros: int | None = None
    keep: int | None = None
    grid: GridName | None = None

    def __post_init__(self) -> None:
        self._grid()
        if self.keep is not None and (self.nonzeros is not None or not 0 <= self.keep <= 100):
            raise InputError("sparse: set nonzeros, or keep from 0 to 100 (per cent)")
        if self.nonzeros is not None and self.nonzeros < 0:
            raise InputError(f"sparse: cannot keep {self.nonzeros} weights; choose 0 or more")

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """Row of bits, low bits of the gaps (none with a bitmap), levels of the kept weights.

        Raises:
            InputError: neither ``nonzeros`` nor ``keep`` is set, or more than there are weights.
        """
        positions = self._positions(shape)
        return (*positions.parts(), *self._values(positions.kept).parts())

    def encode(self, weight: Weight) -> Encoded:
        """Choose the weights to keep, then search scales for these alone.

        With second moments, the kept weights compensate the pruning error, as in Frantar and
        Alistarh, "SparseGPT", 2023; see :func:`round_uniform`.

        Raises:
            InputError: as for :meth:`parts`.
        """
        positions = self._positions(weight.values.shape)
        kept = _most_important(weight, positions.kept)
        levels, scale = round_uniform(weight, self._grid(), kept)
        packed = positions.pack(np.flatnonzero(kept))
        packed += self._values(positions.kept).pack(levels[kept])
        return Encoded(levels, scale, weight.axis, packed)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Spread the kept levels over zeros."""
        positions = self._positions(shape)
        levels = self._values(positions.kept).unpack(names, builder)
        dense = positions.spread(levels, names, builder)
        return reshaped(dense, positions.capacity, shape, builder)

    def _grid(self) -> UniformGrid:
        return UniformGrid.of(self._grid_name(), self.bits)

    def _grid_name(self) -> GridName:
        return self.grid or ("midrise" if self.bits < 8 else "mid-tread")

    def _values(self, kept: int) -> Planes:
        return Planes(kept, self.bits, reading_of(self._grid_name()), "level")

    def _positions(self, shape: Sequence[int]) -> _Bitmap | _Gaps:
        count = prod(shape)
        kept = self.nonzeros if self.keep is None else round(count * self.keep / 100)
        if kept is None:
            raise InputError("sparse: set how many weights to keep, such as keep=30 (per cent)")
        if kept > count:
            raise InputError(f"sparse: cannot keep {kept} weights of {count}")
        # Fewer than 4 low bits would save little and make the unary part long to decode.
        forms: list[_Bitmap | _Gaps] = [_Bitmap(count, kept)]
        forms += [_Gaps(count, kept, low_bits) for low_bits in range(4, 9)]
        return min(forms, key=lambda form: sum(part.bytes for part in form.parts()))


@dataclass(frozen=True)
class _Bitmap:
    """One bit for each of ``count`` weights, of which ``kept`` are set.

    Two weights at a time are looked up in the list of kept ones v. With r kept ones before a pair,
    the pair is (v[r], v[r+1]) if its first weight is kept, (v[r−1], v[r]) if not, and weights that
    are not kept are then cleared. So one index serves two weights. Indices are 4 bytes each and
    would otherwise be most of the memory.
    """

    count: int
    kept: int

    @property
    def capacity(self) -> int:
        """Elements of the spread value: the weights, and padding at the end."""
        return self._bits().capacity

    def parts(self) -> tuple[Part, ...]:
        return self._bits().parts()

    def pack(self, places: npt.NDArray[np.int64]) -> tuple[Packed, ...]:
        bits = np.zeros(self.count, np.uint8)
        bits[places] = 1
        return self._bits().pack(bits)

    def spread(self, levels: str, names: Mapping[str, str], builder: DecodeBuilder) -> str:
        """From a value that begins with the ``kept`` levels to one of ``capacity`` elements."""
        set_bits = np.arange(256)[:, None] >> np.arange(8) & 1
        ones_before = np.cumsum(set_bits, axis=1) - set_bits
        rows = (ones_before + set_bits)[:, ::2].astype(np.int32)
        masks = -set_bits.reshape(256, 4, 2).astype(np.int8)
        ones = set_bits.sum(axis=1, keepdims=True, dtype=np.int32)

        (part,) = self.parts()
        byte = builder.add("Cast", names[part.name], to=TensorProto.INT32)
        before = builder.add(
            "CumSum",
            builder.add("Gather", builder.shared("ones", ones), byte),
            builder.shared("axis0", np.int64(0)),
            exclusive=1,
        )
        within = builder.add("Gather", builder.shared("pair.rows", rows), byte)
        row = builder.add("Add", before, within)
        pairs = builder.add("Gather", self._pairs(levels, builder), row)
        mask = builder.add("Gather", builder.shared("pair.masks", masks), byte)
        return builder.add("BitwiseAnd", pairs, mask)

    def _pairs(self, levels: str, builder: DecodeBuilder) -> str:
        """(kept + 1 or more, 2): v[r−1] and v[r]; values beyond the ends are arbitrary."""
        end = builder.shared("column", np.zeros((1, 1), np.int8))
        column = builder.add("Reshape", levels, builder.vector(-1, 1))
        first = builder.add("Concat", end, column, axis=0)
        second = builder.add("Concat", column, end, axis=0)
        return builder.add("Concat", first, second, axis=1)

    def _bits(self) -> Planes:
        return Planes(self.count, 1, prefix="bitmap")


@dataclass(frozen=True)
class _Gaps:
    """Gaps between ``kept`` ascending positions below ``count``, the first one from 0.

    Args:
        count, kept: of weights.
        low_bits: l, the bits of each gap stored directly.
    """

    count: int
    kept: int
    low_bits: int

    @property
    def capacity(self) -> int:
        """Elements of the spread value: the weights."""
        return self.count

    def parts(self) -> tuple[Part, ...]:
        return self._code().parts()

    def pack(self, places: npt.NDArray[np.int64]) -> tuple[Packed, ...]:
        return self._code().pack(np.diff(places, prepend=0))

    def spread(self, levels: str, names: Mapping[str, str], builder: DecodeBuilder) -> str:
        """From a value that begins with the ``kept`` levels to one of ``capacity`` elements."""
        gaps = self._code().unpack(names, builder)
        places = builder.add("CumSum", gaps, builder.shared("axis0", np.int64(0)))

        none = builder.shared("none8", np.zeros(1, np.int8))
        zeros = builder.add("Expand", none, builder.vector(self.count))
        levels = reshaped(levels, -(-self.kept // 8) * 8, (self.kept,), builder)
        return builder.add("ScatterElements", zeros, places, levels, axis=0)

    def _code(self) -> RiceCode:
        runs = max(self.count - 1, 0) >> self.low_bits
        return RiceCode(self.kept, self.low_bits, runs + self.kept)


def _most_important(weight: Weight, kept: int) -> npt.NDArray[np.bool_]:
    """Which weights to keep: the ``kept`` ones with the most importance · value², of equals the
    first in C order; in the weight's shape."""
    # The largest weight is 1, so no square overflows.
    largest = np.abs(weight.values).max(initial=0) or 1
    scores: FloatArray = np.square(weight.values / largest)
    if weight.importance is not None:
        scores *= weight.importance
    flat = scores.reshape(-1)
    if kept == 0:
        return np.zeros(scores.shape, np.bool_)
    # Not argpartition, whose choice among equals depends on the machine.
    threshold = np.partition(flat, flat.size - kept)[flat.size - kept]
    chosen: npt.NDArray[np.bool_] = flat > threshold
    equals = np.flatnonzero(flat == threshold)
    chosen[equals[: kept - np.count_nonzero(chosen)]] = True
    return chosen.reshape(scores.shape)
