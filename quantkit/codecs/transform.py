"""Convolutions decorrelated over their taps, entropy-coded: Young, Wang, Taubman and Girod,
"Transform Quantization for CNN Compression", 2021.

Neighbouring taps of a filter are alike. The filter of each pair of channels is W = B C, where the
columns of B are the Karhunen-Loève basis of all filters of the layer, times some N and rounded to
whole numbers. All coefficients C are rounded with one step for each output channel, so that each
of them gets the bits that its variance deserves. Rounding knows the price of each level and
compensates errors, as for :mod:`~quantkit.codecs.rice`: with e the error of C and H the second
moments of the inputs, the output's error is eᵀ Bᵀ H B e.

The numbers of one coefficient, of all filters, are a plane. Two neighbours in a plane are coded
together by their rank among all pairs, by distance from zero, in a Rice code
(:mod:`~quantkit.codecs.golomb`). Each plane has a number of low bits of its own; what they add up
to follows from the bits of the codec, so that the size of the file is known beforehand.

So the weights, whole numbers B C, are what an int8 kernel reads, exactly: N is as large as lets
them stay within ±127. Rounded to int8 a second time, they would lose more than is won at 2 bits,
because nothing compensates that error. With many bits N is small and the basis coarse; from about
3 bits on ``rice`` is better. Other weights, such as matrices, are stored by it anyway. Sums of
whole numbers are exact in float32, in any order, so decoders give the same on every processor.

Decoding makes about 45 bytes of intermediates per weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from onnx import TensorProto

from quantkit.arrays import FloatArray, IntArray
from quantkit.codecs.base import DecodeBuilder, Encoded, Levels, Packed, Part, Weight
from quantkit.codecs.divided import (
    Segment,
    encoded_in_segments,
    renamed,
    segment_name,
    segments_of,
)
from quantkit.codecs.golomb import RiceCode
from quantkit.codecs.plane_rounding import round_planes
from quantkit.codecs.rice import PairTable, Rice, shared_pairs
from quantkit.codecs.symbols import Planes, reshaped

#: Bits of a pair, less its low bits: for normal numbers between 1.6 and 2.6 of them are best.
_UNARY = 2.1
_MOST_LOW = 8
#: Filters for each tap that a weight has at least; else its basis would take too much.
_FILTERS_PER_TAP = 32
_MOST_TAPS = 64
#: Weights of a segment, at least: what is decoded at once takes 45 bytes for each.
_SEGMENT = 2_000_000
_INT8 = 127
#: The step is 2 to the power of this less the bits, in root mean squares of the weights.
_STEP = 1.6
#: Channels that the gain is chosen for; louder ones get coarser steps. Room for rounding.
_WITHIN, _ROOM = 0.9, 0.85
_LEAST_GAIN = 3.0
#: Of the singular values of a basis.
_MOST_SPREAD = 8.0
#: Of a layer without own pairs.
_PAIRS = PairTable(np.zeros((0, 2), np.int8))


@dataclass(frozen=True)
class Transform:
    """Coefficients over taps in any number of bits on average, such as 1.85.

    Args:
        bits: of codes per weight, 1 to 5. A layer's basis takes one byte for each pair of taps.

    Raises:
        InputError: ``bits`` is out of its range.
    """

    name: ClassVar[str] = "transform"
    opset: ClassVar[int] = 18

    bits: float

    def __post_init__(self) -> None:
        Rice(self.bits)

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """Row of bits, low bits of the ranks, whose they are, basis."""
        if segments := segments_of(self, shape, axis):
            return tuple(
                replace(part, name=segment_name(each.index, part))
                for each in segments
                for part in each.codec.parts(each.shape, axis)
            )
        if not _has_taps(shape, axis):
            return Rice(self.bits).parts(shape, axis)
        return _Layout.of(shape, self.bits).parts()

    def split(self, shape: Sequence[int], axis: int) -> Iterator[Segment]:
        """See :class:`~quantkit.codecs.divided.Divided`."""
        if not _has_taps(shape, axis):
            yield from Rice(self.bits).split(shape, axis)
            return
        count, channels = math.prod(shape), shape[axis]
        size = max(1, -(-channels // max(1, count // _SEGMENT)))
        for index, begin in enumerate(range(0, channels, size)):
            own = min(size, channels - begin)
            yield Segment(index, self, (own, *shape[1:]), axis)

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

    def encode(self, weight: Weight) -> Encoded:
        """Decorrelate, choose the steps that fill the bits, and round."""
        shape, axis = weight.values.shape, weight.axis
        if segments := segments_of(self, shape, axis):
            return encoded_in_segments(weight, segments)
        if not _has_taps(shape, axis):
            return Rice(self.bits).encode(weight)
        layout = _Layout.of(shape, self.bits)
        most = min(weight.largest_level or _INT8, _INT8)
        filters = weight.values.reshape(*shape[:2], layout.taps)
        basis = basis_of(filters, _gain(filters, self.bits, most))
        rounded = round_planes(weight, basis, layout.unary_bits, layout.unary, most)
        planes = layout.planes(rounded.levels)
        ranks = _PAIRS.ranks(planes.reshape(-1, 2)).reshape(layout.taps, -1)
        levels = layout.rebuilt(basis, planes, shape)
        packed = layout.pack(ranks, allotted(ranks, layout.low), basis)
        return Encoded(levels, rounded.scale, axis, packed)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Decode the ranks, look up their pairs, and transform."""
        if segments := segments_of(self, shape, axis):
            decoded = [
                each.codec.decode(each.shape, axis, each.names_in(names), builder)
                for each in segments
            ]
            return self.in_order(decoded, shape, axis, names, builder)
        if not _has_taps(shape, axis):
            return Rice(self.bits).decode(shape, axis, names, builder)
        return _Layout.of(shape, self.bits).decode(shape, names, builder)

    def blank(self, shape: Sequence[int], axis: int, seed: int) -> tuple[Packed, ...]:
        """See :class:`~quantkit.codecs.base.Selective`."""
        if segments := segments_of(self, shape, axis):
            return tuple(
                renamed(packed, each.index)
                for each in segments
                for packed in self.blank(each.shape, axis, seed + each.index)
            )
        if not _has_taps(shape, axis):
            return Rice(self.bits).blank(shape, axis, seed)
        layout, random = _Layout.of(shape, self.bits), np.random.default_rng(seed)
        ones = np.sort(random.choice(layout.unary, layout.count, replace=False))
        low_bits = np.full(layout.taps, layout.low // layout.taps)
        low_bits[: layout.low % layout.taps] += 1
        largest = (len(_PAIRS.all_pairs) >> int(low_bits.max(initial=0))) - 1
        high = np.minimum(np.diff(ones, prepend=-1) - 1, largest).reshape(layout.taps, -1)
        low = random.integers(0, 1 << low_bits[:, None], high.shape)
        basis = random.integers(-64, 64, (layout.taps, layout.taps), np.int8)
        return layout.pack((high << low_bits[:, None]) + low, low_bits, basis)


@dataclass(frozen=True)
class _Layout:
    """How the numbers of a weight lie in the file.

    Args:
        taps: of a filter; there is a plane for each coefficient.
        filters: numbers of a plane.
        low: low bits of all planes together.
        unary: bits of the row.
    """

    taps: int
    filters: int
    low: int
    unary: int

    @classmethod
    def of(cls, shape: Sequence[int], bits: float) -> _Layout:
        taps, filters = math.prod(shape[2:]), shape[0] * shape[1]
        pairs = -(-filters // 2)
        low = min(max(0, round(taps * (2 * bits - _UNARY))), _MOST_LOW * taps)
        unary = max(math.floor(pairs * (2 * bits * taps - low)), pairs * taps)
        return cls(taps, filters, low, unary)

    @property
    def pairs(self) -> int:
        """Of a plane."""
        return -(-self.filters // 2)

    @property
    def count(self) -> int:
        """Pairs of all planes."""
        return self.taps * self.pairs

    def parts(self) -> tuple[Part, ...]:
        low = self._low.parts() if self.low else ()
        rows = [Part(name, TensorProto.UINT8, (self.low,)) for name in ("owner", "worth")]
        return (
            *self._row.parts(),
            *low,
            *(rows if self.low else ()),
            Part("basis", TensorProto.INT8, (self.taps, self.taps)),
        )

    def planes(self, levels: Levels) -> Levels:
        """(taps, 2 · pairs) of levels in the shape (channels, inputs · taps), filled with zeros."""
        found = levels.reshape(self.filters, self.taps).T
        return np.pad(found, ((0, 0), (0, self.filters % 2))).astype(np.int8)

    def unary_bits(self, levels: Levels) -> int:
        """Bits of the row that levels take, in the same shape."""
        ranks = _PAIRS.ranks(self.planes(levels).reshape(-1, 2)).reshape(self.taps, -1)
        low_bits = allotted(ranks, self.low)
        return int((ranks >> low_bits[:, None]).sum()) + ranks.size

    def pack(self, ranks: IntArray, low_bits: IntArray, basis: Levels) -> tuple[Packed, ...]:
        """See :meth:`parts`; ``low_bits`` add up to :attr:`low`."""
        high = (ranks >> low_bits[:, None]).reshape(-1)
        packed = [*self._row.pack(high)]
        if self.low:
            owner = np.repeat(np.arange(self.taps), low_bits)
            place = np.concatenate([np.arange(bits) for bits in low_bits])
            packed += self._low.pack(ranks[owner] >> place[:, None] & 1)
            packed.append(Packed.of("owner", owner.astype(np.uint8)))
            packed.append(Packed.of("worth", (1 << place).astype(np.uint8)))
        packed.append(Packed.of("basis", basis))
        return tuple(packed)

    def decode(self, shape: Sequence[int], names: Mapping[str, str], builder: DecodeBuilder) -> str:
        """From the parts to int8 in ``shape``."""
        add = builder.add
        high = add("Cast", self._row.unpack(names, builder), to=TensorProto.FLOAT)
        ranks = add("Reshape", high, builder.vector(self.taps, self.pairs))
        if self.low:
            worth, unit = self._worth(names, builder)
            bits = self._low.unpack(names, builder)
            rows = reshaped(bits, self._low.capacity, (self.low, self.pairs), builder)
            low = add("MatMul", worth, add("Cast", rows, to=TensorProto.FLOAT))
            ranks = add("Add", add("Mul", ranks, unit), low)
        pairs = add("Gather", _table(builder), add("Cast", ranks, to=TensorProto.INT32))
        planes = add("Reshape", pairs, builder.vector(self.taps, 2 * self.pairs))
        if self.filters % 2:
            ends = (builder.vector(0), builder.vector(self.filters), builder.vector(1))
            planes = add("Slice", planes, *ends)
        numbers = add("Cast", planes, to=TensorProto.FLOAT)
        basis = add("Cast", names["basis"], to=TensorProto.FLOAT)
        levels = add("Cast", add("MatMul", basis, numbers), to=TensorProto.INT8)
        return add("Reshape", add("Transpose", levels, perm=[1, 0]), builder.vector(*shape))

    def rebuilt(self, basis: Levels, planes: Levels, shape: Sequence[int]) -> Levels:
        """What :meth:`decode` makes of basis and numbers."""
        sums = basis.astype(np.float32) @ planes[:, : self.filters].astype(np.float32)
        return np.ascontiguousarray(sums.astype(np.int8).T).reshape(shape)

    def _worth(self, names: Mapping[str, str], builder: DecodeBuilder) -> tuple[str, str]:
        """(taps, rows) what a bit of each row adds to the numbers of a plane, and its unit."""
        add = builder.add
        number = np.arange(self.taps, dtype=np.int32)[:, None]
        planes = builder.shared(f"planes{self.taps}", number)
        owner = add("Cast", names["owner"], to=TensorProto.INT32)
        none = builder.shared("no_worth", np.float32(0))
        worth = add("Cast", names["worth"], to=TensorProto.FLOAT)
        found = add("Where", add("Equal", planes, owner), worth, none)
        # Low bits of a plane are worth 1, 2, 4, … and the next one would be worth one more.
        whole = add("ReduceSum", found, builder.vector(1), keepdims=1)
        return found, add("Add", whole, builder.shared("one_worth", np.float32(1)))

    @property
    def _row(self) -> RiceCode:
        return RiceCode(self.count, 0, self.unary)

    @property
    def _low(self) -> Planes:
        return Planes(self.low * self.pairs, 1, prefix="low")


def basis_of(filters: FloatArray, gain: float) -> Levels:
    """(taps, coefficients) int8: ``gain`` times the Karhunen-Loève basis, and invertible.

    Args:
        filters: (channels, inputs, taps).
    """
    rows = filters.reshape(-1, filters.shape[2]).astype(np.float64)
    _, basis = np.linalg.eigh(rows.T @ rows)
    found: Levels = np.rint(gain * basis).astype(np.int8)
    # A coarse one may miss a direction, or nearly so.
    while np.linalg.cond(found.astype(np.float64)) > _MOST_SPREAD and gain < _INT8 / 2:
        gain *= 1.1
        found = np.rint(gain * basis).astype(np.int8)
    return found


def _gain(filters: FloatArray, bits: float, most: int) -> float:
    """What lets the largest weight of nearly every channel be a sum within ``most``."""
    spread = float(np.sqrt(np.mean(np.square(filters, dtype=np.float64))))
    largest = np.abs(filters).max(axis=(1, 2), initial=0)
    step = max(spread * 2.0 ** (_STEP - bits), 1e-30)
    reach = max(float(np.quantile(largest, _WITHIN)) / step, 1.0)
    return float(np.clip(_ROOM * most / reach, _LEAST_GAIN, _INT8 / 2))


def allotted(ranks: IntArray, low: int) -> IntArray:
    """Low bits of each plane, (planes,), which add up to ``low`` and make the row the shortest.

    What one more low bit saves falls with each, so the best one is given away at a time.

    Args:
        ranks: (planes, pairs).
    """
    rows = np.stack([(ranks >> bits).sum(axis=1) for bits in range(_MOST_LOW + 1)])
    saved = rows[:-1] - rows[1:]
    order = np.argsort(-saved.T.reshape(-1), kind="stable")[:low]
    return np.bincount(order // _MOST_LOW, minlength=len(ranks))


def _has_taps(shape: Sequence[int], axis: int) -> bool:
    if axis != 0 or len(shape) < 3:
        return False
    taps = math.prod(shape[2:])
    return 1 < taps <= _MOST_TAPS and shape[0] * shape[1] >= _FILTERS_PER_TAP * taps


def _table(builder: DecodeBuilder) -> str:
    """Pairs by rank."""
    half = builder.shared("pairs", shared_pairs())
    both = builder.add("Concat", half, builder.add("Neg", half), axis=1)
    both = builder.add("Reshape", both, builder.vector(-1, 2))
    none = builder.shared("pair0", np.zeros((1, 2), np.int8))
    return builder.add("Concat", none, both, axis=0)
