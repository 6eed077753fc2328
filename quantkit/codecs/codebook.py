"""Tables of levels for a layer or for each of its channels; ternary weights, five to a byte."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from scipy.special import ndtri

from quantkit.codecs.base import DecodeBuilder, Encoded, Part, Weight
from quantkit.codecs.channels import from_rows, inputs_of, nodes_from_rows
from quantkit.codecs.kmeans import Float64Array
from quantkit.codecs.lookup import ROW_MULTIPLE, Lookup, check_bits
from quantkit.codecs.symbols import Symbols, reshaped
from quantkit.codecs.table_rounding import round_channel_tables, round_scales, round_tables
from quantkit.codecs.uniform import UniformGrid
from quantkit.codecs.uniform_rounding import round_uniform
from quantkit.errors import InputError

TableName = Literal["k-means", "normal-float"]
ScopeName = Literal["layer", "channel"]

#: With 23.6 million weights in 6035 channels, all unpacked in one folding pass, loading 3 bits
#: takes 2.6 times the memory of loading plain int8, 4 bits 2.1 times, and 5 bits 3.1 times, which
#: is too much.
_BITS_OF_CHANNELS = 4


@dataclass(frozen=True)
class Codebook:
    """Indices into a table of 2ᵇ int8 levels, of the layer or of each of its output channels.

    Args:
        bits: b, 1 to 6; with a table for each channel 1 to 4.
        table: ``k-means`` fits the levels to the weights; ``normal-float`` assumes normally
            distributed weights.
        scope: ``layer`` for one table that all channels share, ``channel`` for a table of 2ᵇ bytes
            per channel.

    Raises:
        InputError: a setting is out of its range.
    """

    name: ClassVar[str] = "codebook"
    opset: ClassVar[int] = 18

    bits: int
    table: TableName = "k-means"
    scope: ScopeName = "layer"

    def __post_init__(self) -> None:
        check_bits(self.bits)
        if self.table not in get_args(TableName):
            raise InputError(
                f"unknown table {self.table!r}; choose {' or '.join(get_args(TableName))}"
            )
        if self.scope not in get_args(ScopeName):
            raise InputError(
                f"unknown scope {self.scope!r}; choose {' or '.join(get_args(ScopeName))}"
            )
        if self.scope == "channel" and self.table == "normal-float":
            raise InputError("normal-float is one table for all; choose scope layer, or k-means")
        if self.scope == "channel" and self.bits > _BITS_OF_CHANNELS:
            raise InputError(
                f"cannot give each channel a table of {self.bits} bits; choose 1 to "
                f"{_BITS_OF_CHANNELS}, or scope layer"
            )

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """See :meth:`Codec.parts`."""
        return self._lookup(shape, axis).parts()

    def encode(self, weight: Weight) -> Encoded:
        """See :meth:`Codec.encode`."""
        shape, axis = weight.values.shape, weight.axis
        if self.scope == "channel":
            fitted = round_channel_tables(weight, 1 << self.bits)
        elif self.table == "k-means":
            fitted = round_tables(weight, 1 << self.bits)
        else:
            fitted = round_scales(weight, normal_float(self.bits))
        codes = fitted.codes if self.scope == "channel" else from_rows(fitted.codes, shape, axis)
        lookup = self._lookup(shape, axis)
        rows = codes.reshape(lookup.rows, codes.size // max(lookup.rows, 1))
        filled = np.pad(rows, [(0, 0), (0, lookup.length - rows.shape[1])])
        packed = lookup.pack(filled, fitted.choices, fitted.tables)
        return Encoded(from_rows(fitted.levels(), shape, axis), fitted.scale, axis, packed)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """See :meth:`Codec.decode`."""
        lookup = self._lookup(shape, axis)
        value = lookup.unpack(names, builder)
        if self.scope == "channel":
            return nodes_from_rows(value, lookup.length, shape, axis, builder)
        return reshaped(value, lookup.length, shape, builder)

    def stored_along(self, axis: int) -> int:
        """See :class:`~quantkit.codecs.pieces.Sliceable`."""
        return axis if self.scope == "channel" else 0

    def _lookup(self, shape: Sequence[int], axis: int) -> Lookup:
        """Each channel as a row, or all weights as one row, in the weight's own order."""
        own = self.scope == "channel"
        length = inputs_of(shape, axis) if own else math.prod(shape)
        filled = -(-length // ROW_MULTIPLE) * ROW_MULTIPLE
        return Lookup(shape[axis] if own else 1, filled, self.bits, table_per_row=own)


@dataclass(frozen=True)
class Ternary:
    """−1, 0 and 1 times the channel's scale, as in Li et al., "Ternary Weight Networks", 2016."""

    name: ClassVar[str] = "ternary"
    bits: ClassVar[float] = 1.6
    opset: ClassVar[int] = 18

    @property
    def spacing(self) -> UniformGrid:
        """See :class:`~quantkit.codecs.uniform.EvenlySpaced`."""
        return UniformGrid(-1, 1)

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """See :meth:`Codec.parts`."""
        return self._symbols(shape).parts()

    def encode(self, weight: Weight) -> Encoded:
        """See :meth:`Codec.encode`."""
        levels, scale = round_uniform(weight, self.spacing)
        symbols = self._symbols(weight.values.shape)
        return Encoded(levels, scale, weight.axis, symbols.pack(levels + 1))

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """See :meth:`Codec.decode`."""
        symbols = self._symbols(shape)
        table = builder.shared("ternary", symbols.digits().astype(np.int8) - 1)
        value = builder.add("Gather", table, symbols.unpack(names, builder))
        return reshaped(value, symbols.capacity, shape, builder)

    def stored_along(self, axis: int) -> int:
        """See :class:`~quantkit.codecs.pieces.Sliceable`."""
        return 0

    def _symbols(self, shape: Sequence[int]) -> Symbols:
        return Symbols(math.prod(shape), 3)


def normal_float(bits: int) -> Float64Array:
    """2ᵇ levels for normally distributed values of variance 1, ascending.

    The medians of 2ᵇ intervals of equal probability: Dettmers et al., "QLoRA", 2023, equation 4,
    without the second half that makes one level exactly zero.
    """
    count = 1 << bits
    return np.asarray(ndtri((np.arange(count) + 0.5) / count), np.float64)
