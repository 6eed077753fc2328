"""Output channels in tiers: the most important ones get more bits.

A few thousand of the 50,000 tokens of a vocabulary cover nearly everything that is said. With equal
bits, each row of the embedding takes the same share of the file and has the same error. But the
divergence of the posteriors p is, to second order, Σᵢ pᵢ (δᵢ − δ̄)² / 2 for errors δᵢ of the
logits: the error of a row counts in proportion to the probability of its token. So the rows of
frequent tokens get more bits, and those of tokens that these users never say get few. (Yang et al.,
"Mixed-Precision Embedding Using a Cache", 2020, keep frequently used rows at higher precision
during training.)

Each tier has its own codec: int8 for 8 bits, ``bitplane`` for 7, else ``grouped``. The tier of each
channel takes 1 or 2 bits. While the model loads, the tiers are decoded one after the other and
their channels put back in order: the position of a channel is the start of its tier plus the number
of earlier channels in the tier, a cumulative sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from onnx import TensorProto

from quantkit.arrays import IndexArray
from quantkit.codecs.base import Codec, DecodeBuilder, Encoded, Packed, Part, Weight
from quantkit.codecs.bitplane import Bitplane
from quantkit.codecs.channels import as_rows, from_rows, inputs_of, nodes_from_rows
from quantkit.codecs.divided import Segment, segment_name
from quantkit.codecs.grouped import Grouped
from quantkit.codecs.plain import Int8
from quantkit.codecs.symbols import Planes, reshaped
from quantkit.errors import InputError

_MOST_TIERS = 4
_WIDEST_GROUPED = 6


@dataclass(frozen=True)
class Tiered:
    """Stores the most important output channels in more bits.

    >>> Tiered(4, "1024x8+8192x5").widths
    ((1024, 8), (8192, 5))

    Args:
        bits: of the channels outside the tiers, 1 to 8.
        tiers: how many channels get how many bits, the most important first: ``COUNTxBITS``,
            joined by ``+``; 1 to 3 of them. There is no default.

    Raises:
        InputError: ``tiers`` is malformed.
    """

    name: ClassVar[str] = "tiered"

    bits: int
    tiers: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.widths) < _MOST_TIERS:
            raise InputError(
                f"tiered: {len(self.widths)} tiers above the rest; choose 1 to {_MOST_TIERS - 1}"
            )
        for count, bits in (*self.widths, (1, self.bits)):
            if count < 1 or not 1 <= bits <= 8:
                raise InputError(
                    f"tiered: cannot store {count} channels in {bits} bits; choose 1 or more "
                    "channels and 1 to 8 bits"
                )

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """Channels and bits of each tier but the last."""
        found = []
        for tier in str(self.tiers).split("+"):
            count, _, bits = tier.partition("x")
            if not (count.isdecimal() and bits.isdecimal()):
                raise InputError(
                    "tiered: write tiers as COUNTxBITS, joined by +, such as "
                    f"tiers=1024x8+8192x5, not {self.tiers!r}"
                )
            found.append((int(count), int(bits)))
        return tuple(found)

    def widths_of(self, channels: int) -> tuple[tuple[int, int], ...]:
        """:attr:`widths`, and the remaining ones of ``channels``."""
        return (*self.widths, (channels - sum(count for count, _ in self.widths), self.bits))

    @property
    def opset(self) -> int:
        """The highest opset of the tiers."""
        return max(_codec(bits).opset for bits in (self.bits, *(bits for _, bits in self.widths)))

    def fits(self, channels: int) -> bool:
        """Whether a weight of ``channels`` output channels fills all tiers."""
        return sum(count for count, _ in self.widths) < channels

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """The channels' tiers, then the tensors of each tier.

        Raises:
            InputError: the tiers hold as many channels as there are, or more.
        """
        stored = list(self._membership(shape[axis]).parts())
        for index, codec, count in self._tiers(shape[axis]):
            parts = codec.parts((count, inputs_of(shape, axis)), 0)
            stored += [replace(part, name=segment_name(index, part)) for part in parts]
        return tuple(stored)

    def encode(self, weight: Weight) -> Encoded:
        """Rank the channels by importance, and encode each tier by itself.

        Without :attr:`Weight.channel_importance`, the first channels count as the most important,
        because byte-pair encoding numbers tokens roughly by frequency.

        Raises:
            InputError: as for :meth:`parts`.
        """
        rows = as_rows(weight)
        channels, inputs = rows.values.shape
        ranked = _ranked(weight, channels)
        levels = np.empty((channels, inputs), np.int8)
        scale = np.empty(channels, np.float32)
        tier_of = np.empty(channels, np.uint8)
        packed: list[Packed] = []
        for index, codec, count in self._tiers(channels):
            chosen = np.sort(ranked[:count])
            ranked = ranked[count:]
            encoded = codec.encode(_some_rows(rows, chosen))
            levels[chosen], scale[chosen], tier_of[chosen] = encoded.levels, encoded.scale, index
            packed += [
                replace(each, part=replace(each.part, name=segment_name(index, each.part)))
                for each in encoded.packed
            ]
        packed = [*self._membership(channels).pack(tier_of), *packed]
        shape = weight.values.shape
        return Encoded(from_rows(levels, shape, weight.axis), scale, weight.axis, tuple(packed))

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Decode the tiers, and put the channels in order."""
        decoded = [
            tier.codec.decode(tier.shape, tier.axis, tier.names_in(names), builder)
            for tier in self.split(shape, axis)
        ]
        return self.in_order(decoded, shape, axis, names, builder)

    def split(self, shape: Sequence[int], axis: int) -> Iterator[Segment]:
        """The most important first.

        Raises:
            InputError: as for :meth:`parts`.
        """
        for index, codec, count in self._tiers(shape[axis]):
            yield Segment(index, codec, (count, inputs_of(shape, axis)), 0)

    def in_order(
        self,
        decoded: Sequence[str],
        shape: Sequence[int],
        axis: int,
        names: Mapping[str, str],
        builder: DecodeBuilder,
    ) -> str:
        """Append the nodes that make the weight of its decoded tiers.

        Args:
            decoded: value of each of :meth:`split`.
            shape, axis, names: see :meth:`Codec.decode`.
        """
        joined = builder.add("Concat", *decoded, axis=0)
        places = self._places(shape[axis], names, builder)
        ordered = builder.add("Gather", joined, places, axis=0)
        return nodes_from_rows(ordered, inputs_of(shape, axis), shape, axis, builder)

    def _places(self, channels: int, names: Mapping[str, str], builder: DecodeBuilder) -> str:
        """Position of each channel among the decoded ones, int32: (channels,)."""
        membership = self._membership(channels)
        tier_of = builder.add("Cast", membership.unpack(names, builder), to=TensorProto.INT32)
        tier_of = reshaped(tier_of, membership.capacity, (channels,), builder)
        places, begin = "", 0
        for index, _, count in self._tiers(channels):
            number = builder.shared(f"int32.{index}", np.int32(index))
            inside = builder.add("Equal", tier_of, number)
            inside = builder.add("Cast", inside, to=TensorProto.INT32)
            zero = builder.shared("axis0", np.int64(0))
            before = builder.add("CumSum", inside, zero, exclusive=1)
            if begin:
                first = builder.shared(f"int32.{begin}", np.int32(begin))
                before = builder.add("Add", before, first)
            place = builder.add("Mul", inside, before)
            places = builder.add("Add", places, place) if places else place
            begin += count
        return places

    def _tiers(self, channels: int) -> Iterator[tuple[int, Codec, int]]:
        """Number, codec and channels of each, the most important first."""
        if not self.fits(channels):
            raise InputError(
                f"tiered: a weight of {channels} output channels cannot have tiers={self.tiers}"
            )
        for index, (count, bits) in enumerate(self.widths_of(channels)):
            yield index, _codec(bits), count

    def _membership(self, channels: int) -> Planes:
        bits = max(1, math.ceil(math.log2(len(self.widths) + 1)))
        return Planes(channels, bits, "unsigned", "tier")


def _codec(bits: int) -> Codec:
    if bits == 8:
        return Int8()
    return Grouped(bits) if bits <= _WIDEST_GROUPED else Bitplane(bits)


def _ranked(weight: Weight, channels: int) -> IndexArray:
    """All channels, the most important first; ties in order of their number."""
    if weight.channel_importance is None:
        return np.arange(channels)
    return np.argsort(-weight.channel_importance, kind="stable")


def _some_rows(rows: Weight, chosen: IndexArray) -> Weight:
    """Some channels of a weight of (channels, inputs)."""
    importance, moments = rows.importance, rows.second_moments
    if importance is not None and len(importance) > 1:
        importance = importance[chosen]
    if moments is not None and len(moments.matrices) > 1:
        # Channels of a grouped convolution have moments by group.
        moments = None
    scale = None if rows.scale is None else rows.scale[chosen]
    return Weight(rows.values[chosen], 0, importance, moments, scale, rows.largest_level)
