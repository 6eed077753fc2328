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
is (0, 0), and ranks 2k − 1 and 2k are the k-th pair and its negative. The most frequent ones of a
layer are stored with it. The others follow in a table that all layers share, by distance from zero;
far away it has every other or every fourth level only, because errors of rare weights count little.

The size of the file follows from the bits alone: the step between levels is chosen so that the
codes fill them; see :mod:`~quantkit.codecs.priced_rounding`.

Decoding makes about 25 bytes of intermediates per weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from quantkit.arrays import Booleans, FloatArray, IndexArray, IntArray
from quantkit.codecs.base import DecodeBuilder, Encoded, Levels, Packed, Part, Weight
from quantkit.codecs.divided import Segment, segment_name, segments_of
from quantkit.codecs.golomb import RiceCode
from quantkit.codecs.priced_rounding import round_priced
from quantkit.codecs.symbols import reshaped
from quantkit.errors import InputError

PairArray = npt.NDArray[np.int8]

_FEWEST_BITS, _MOST_BITS = 1.0, 5.0
#: Bits of a pair, less those of the zeros and ones when these are halves each: for normal weights
#: between 1.6 and 2.6 of them are best.
_UNARY = 1.6
#: Weights of a segment, at least: what is decoded at once takes 25 bytes for each.
_SEGMENT = 4_000_000
#: Pairs that are stored with a layer: a multiple of 2ˡ, but no more than a share of its bytes.
_OWN_PAIRS, _OWN_SHARE, _FEWEST_OWN = 16, 0.01, 128
#: How far from zero the shared table has every, every other and every fourth level.
_RINGS = ((22, 1), (44, 2), (64, 4))


@dataclass(frozen=True)
class Rice:
    """Evenly spaced levels in any number of bits on average, such as 2.85.

    Args:
        bits: of codes per weight, 1 to 5. A layer's table takes up to a hundredth of that, or 256
            bytes, and the shared one 6 kB.

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

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """Row of bits, low bits of the ranks, table of pairs; those of each segment."""
        if segments := segments_of(self, shape, axis):
            return tuple(
                replace(part, name=segment_name(each.index, part))
                for each in segments
                for part in self.parts(each.shape, axis)
            )
        table = Part("pairs", TensorProto.INT8, (self.own_pairs(math.prod(shape)), 2))
        return (*self._code(math.prod(shape)).parts(), table)

    def split(self, shape: Sequence[int], axis: int) -> Iterator[Segment]:
        """See :class:`~quantkit.codecs.divided.Divided`: large weights, for their decoders' memory.

        Each segment fills its share of the bits, with steps of its own.
        """
        count, channels = math.prod(shape), shape[axis]
        segments = max(1, count // _SEGMENT)
        size = max(1, -(-channels // segments))
        for index, begin in enumerate(range(0, max(channels, 1), size)):
            own = min(size, channels - begin)
            yield Segment(index, self, (*shape[:axis], own, *shape[axis + 1 :]), axis)

    def in_order(
        self,
        decoded: Sequence[str],
        shape: Sequence[int],
        axis: int,
        names: Mapping[str, str],
        builder: DecodeBuilder,
    ) -> str:
        """See :class:`~quantkit.codecs.divided.Divided`."""
        return builder.add("Concat", *decoded, axis=axis)

    def own_pairs(self, count: int) -> int:
        """How many pairs are stored with ``count`` weights."""
        affordable = int(_OWN_SHARE * count * self.bits / 8) // 2
        return max(min(_OWN_PAIRS << self.low_bits, affordable), _FEWEST_OWN)

    def encode(self, weight: Weight) -> Encoded:
        """Choose the step that fills the bits, and round by error and length of the code."""
        if segments := segments_of(self, weight.values.shape, weight.axis):
            return _joined(weight, segments)
        room = self._code(weight.values.size).unary
        rounded = round_priced(weight, self.row_bits, room, _RINGS)
        return self.stored(rounded.levels, rounded.scale, weight.axis)

    def row_bits(self, levels: Levels) -> int:
        """Bits that the codes of levels take beside the low bits, whose number is fixed."""
        pairs = _in_pairs(levels)
        code, own = self._code(levels.size), self.own_pairs(levels.size)
        return int(code.lengths(PairTable.of(pairs, own).ranks(pairs)).sum())

    def fits(self, levels: Levels) -> bool:
        """Whether a weight of these levels, not divided into segments, takes no more bits."""
        return self.row_bits(levels) <= self._code(levels.size).unary

    def stored(self, levels: Levels, scale: FloatArray, axis: int) -> Encoded:
        """A weight that is on its levels, and not divided into segments.

        Args:
            levels: of :meth:`magnitudes`, which :meth:`fits` agrees to.
            scale: (channels,).
        """
        code, own = self._code(levels.size), self.own_pairs(levels.size)
        pairs = _in_pairs(levels)
        table = PairTable.of(pairs, own)
        ranks = table.ranks(pairs)
        flat = table.all_pairs[ranks].reshape(-1)[: levels.size]
        found = np.ascontiguousarray(flat.reshape(levels.shape))
        packed = (*code.pack(ranks), Packed.of("pairs", table.own))
        return Encoded(found, scale, axis, packed)

    @staticmethod
    def magnitudes(largest_level: int | None = None) -> IntArray:
        """Those that levels may have, ascending.

        Args:
            largest_level: see :class:`~quantkit.codecs.base.Weight`.
        """
        reach = min(largest_level or _RINGS[-1][0], _RINGS[-1][0])
        every = np.arange(reach + 1)
        return every[_is_level(every)]

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Decode the ranks, and look up their pairs."""
        if segments := segments_of(self, shape, axis):
            decoded = [
                self.decode(each.shape, axis, each.names_in(names), builder) for each in segments
            ]
            return self.in_order(decoded, shape, axis, names, builder)
        count = math.prod(shape)
        others = builder.shared("pairs", shared_pairs())
        half = builder.add("Concat", names["pairs"], others, axis=0)
        both = builder.add("Concat", half, builder.add("Neg", half), axis=1)
        both = builder.add("Reshape", both, builder.vector(-1, 2))
        none = builder.shared("pair0", np.zeros((1, 2), np.int8))
        table = builder.add("Concat", none, both, axis=0)
        value = builder.add("Gather", table, self._code(count).unpack(names, builder))
        return reshaped(value, 2 * _pairs(count), shape, builder)

    def blank(self, shape: Sequence[int], axis: int, seed: int) -> tuple[Packed, ...]:
        """See :class:`~quantkit.codecs.base.Selective`."""
        if segments := segments_of(self, shape, axis):
            return tuple(
                _renamed(packed, each.index)
                for each in segments
                for packed in self.blank(each.shape, axis, seed + each.index)
            )
        random = np.random.default_rng(seed)
        code = self._code(math.prod(shape))
        # As the places of the ones are drawn, so are the numbers.
        ones = np.sort(random.choice(code.unary, code.count, replace=False))
        own = self.own_pairs(math.prod(shape))
        largest = (2 * (own + len(shared_pairs())) >> self.low_bits) - 1
        high = np.minimum(np.diff(ones, prepend=-1) - 1, largest)
        numbers = random.integers(0, 1 << self.low_bits, code.count) + (high << self.low_bits)
        table = random.integers(-64, 64, (own, 2), np.int8)
        return (*code.pack(numbers), Packed.of("pairs", table))

    def _code(self, count: int) -> RiceCode:
        pairs = _pairs(count)
        unary = math.floor(pairs * (2 * self.bits - self.low_bits))
        return RiceCode(pairs, self.low_bits, max(unary, pairs))


def _joined(weight: Weight, segments: Sequence[Segment]) -> Encoded:
    """A weight whose segments are encoded one by one."""
    axis, begin = weight.axis, 0
    levels, scales, packed = [], [], []
    for each in segments:
        channels = slice(begin, begin + each.shape[axis])
        encoded = each.codec.encode(_some_channels(weight, channels))
        levels.append(encoded.levels)
        scales.append(encoded.scale)
        packed += [_renamed(one, each.index) for one in encoded.packed]
        begin = channels.stop
    joined = np.concatenate(levels, axis=axis)
    return Encoded(joined, np.concatenate(scales), axis, tuple(packed))


def _renamed(packed: Packed, index: int) -> Packed:
    return replace(packed, part=replace(packed.part, name=segment_name(index, packed.part)))


def _some_channels(weight: Weight, channels: slice) -> Weight:
    places = np.arange(channels.start, channels.stop)
    from_last = weight.axis - weight.values.ndim
    importance, moments = weight.importance, weight.second_moments
    if importance is not None and importance.ndim >= -from_last and importance.shape[from_last] > 1:
        importance = np.take(importance, places, axis=from_last)
    if moments is not None and len(moments.matrices) > 1:
        # Channels of a grouped convolution have moments by group.
        moments = None
    values = np.take(weight.values, places, axis=weight.axis)
    return replace(weight, values=values, importance=importance, second_moments=moments)


@dataclass(frozen=True)
class PairTable:
    """Pairs of levels by rank.

    Args:
        own: (pairs, 2) int8, the layer's own, without their negatives and (0, 0).
    """

    own: PairArray

    @classmethod
    def of(cls, pairs: PairArray, size: int) -> PairTable:
        """With the ``size`` most frequent ones; of equally frequent ones, the shortest.

        Args:
            pairs: that occur, (pairs, 2).
        """
        # Half the side of a square that holds enough pairs and their negatives.
        least = math.ceil(math.sqrt(2 * size + 1) / 2)
        reach = max(least, int(np.abs(pairs).max(initial=0)))
        side = 2 * reach + 1
        counts = np.bincount(_cells(pairs, reach), minlength=side * side)
        # A pair and its negative lie opposite each other; (0, 0) is in the middle.
        middle = side * side // 2
        both = counts[middle + 1 :] + counts[:middle][::-1]
        cells = np.arange(middle + 1, side * side)
        first, second = cells // side - reach, cells % side - reach
        order = np.lexsort((cells, first**2 + second**2, -both))[:size]
        return cls(np.stack([first[order], second[order]], axis=1).astype(np.int8))

    @cached_property
    def all_pairs(self) -> PairArray:
        """(ranks, 2); most of the layer's own are there a second time, among the shared ones."""
        half = np.concatenate([self.own, shared_pairs()])
        both = np.concatenate([half, -half], axis=1).reshape(-1, 2)
        return np.concatenate([np.zeros((1, 2), np.int8), both])

    def ranks(self, pairs: PairArray) -> IntArray:
        """Of each pair of levels."""
        known, reach = self.all_pairs, _RINGS[-1][0]
        # Of a pair that is there twice, the first.
        by_cell = np.empty((2 * reach + 1) ** 2, np.int64)
        by_cell[_cells(known[::-1], reach)] = np.arange(len(known))[::-1]
        found: IntArray = by_cell[_cells(pairs, reach)]
        return found


def _is_level(levels: IntArray) -> Booleans:
    """Which whole numbers are levels."""
    found = np.zeros(levels.shape, np.bool_)
    inner = -1
    for outer, step in _RINGS:
        magnitude = np.abs(levels)
        found |= (magnitude > inner) & (magnitude <= outer) & (magnitude % step == 0)
        inner = outer
    return found


@cache
def shared_pairs() -> PairArray:
    """The pairs that every layer has, by their distance from zero, without their negatives."""
    reach = _RINGS[-1][0]
    axis = np.arange(-reach, reach + 1)
    first, second = (each.reshape(-1) for each in np.meshgrid(axis, axis, indexing="ij"))
    away = first**2 + second**2
    kept = _is_level(first) & _is_level(second)
    kept &= (first > 0) | ((first == 0) & (second > 0))
    order = np.lexsort((second, first, away))
    order = order[kept[order]]
    return np.stack([first[order], second[order]], axis=1).astype(np.int8)


def _cells(pairs: PairArray, reach: int) -> IndexArray:
    """Where each pair lies in a square from −reach to reach, in C order."""
    wide = pairs.astype(np.intp) + reach
    cells: IndexArray = wide[:, 0] * (2 * reach + 1) + wide[:, 1]
    return cells


def _pairs(count: int) -> int:
    return -(-count // 2)


def _in_pairs(levels: Levels) -> PairArray:
    """(pairs, 2), in C order of the weight; one that is left over is paired with 0."""
    flat = levels.reshape(-1)
    if flat.size % 2:
        flat = np.append(flat, 0)
    return flat.reshape(-1, 2).astype(np.int8)
