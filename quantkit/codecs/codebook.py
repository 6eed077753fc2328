"""One table of levels for all weights of a layer; ternary weights, five to a byte."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from scipy.special import ndtri

from quantkit.codecs.base import DecodeBuilder, Encoded, Part, Weight
from quantkit.codecs.kmeans import Float64Array
from quantkit.codecs.lookup import ROW_MULTIPLE, Lookup, check_bits
from quantkit.codecs.symbols import Symbols, reshaped
from quantkit.codecs.tables import channels_first, fit_scales, fit_tables
from quantkit.codecs.uniform import UniformGrid, fit_uniform
from quantkit.errors import InputError

TableName = Literal["k-means", "normal-float"]


@dataclass(frozen=True)
class Codebook:
    """Indices into a table of 2ᵇ int8 levels, which a layer's channels share.

    Args:
        bits: b, 1 to 6.
        table: ``k-means`` places the levels where the layer's weights are; ``normal-float`` where
            normally distributed ones would be.

    Raises:
        InputError: a setting is out of its range.
    """

    name: ClassVar[str] = "codebook"
    opset: ClassVar[int] = 18

    bits: int
    table: TableName = "k-means"

    def __post_init__(self) -> None:
        check_bits(self.bits)
        if self.table not in get_args(TableName):
            raise InputError(
                f"unknown table {self.table!r}; choose {' or '.join(get_args(TableName))}"
            )

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """See :meth:`Codec.parts`."""
        return self._lookup(shape).parts()

    def encode(self, weight: Weight) -> Encoded:
        """See :meth:`Codec.encode`."""
        shape, axis = weight.values.shape, weight.axis
        if self.table == "k-means":
            fitted = fit_tables(weight, 1 << self.bits)
        else:
            fitted = fit_scales(weight, normal_float(self.bits))
        moved = channels_first(shape, axis)
        codes = np.moveaxis(fitted.codes.reshape(moved), 0, axis)
        lookup = self._lookup(shape)
        filled = np.zeros(lookup.length, np.uint8)
        filled[: codes.size] = codes.reshape(-1)
        packed = lookup.pack(filled[None], np.zeros(1, np.uint8), fitted.tables)
        return Encoded(fitted.tables[0][codes], fitted.scale, axis, packed)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """See :meth:`Codec.decode`."""
        lookup = self._lookup(shape)
        return reshaped(lookup.unpack(names, builder), lookup.length, shape, builder)

    def _lookup(self, shape: Sequence[int]) -> Lookup:
        """All weights as one row, in the weight's own order."""
        return Lookup(1, -(-math.prod(shape) // ROW_MULTIPLE) * ROW_MULTIPLE, self.bits)


@dataclass(frozen=True)
class Ternary:
    """−1, 0 and 1 times the channel's scale, as in Li et al., "Ternary Weight Networks", 2016."""

    name: ClassVar[str] = "ternary"
    bits: ClassVar[float] = 1.6
    opset: ClassVar[int] = 18

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """See :meth:`Codec.parts`."""
        return self._symbols(shape).parts()

    def encode(self, weight: Weight) -> Encoded:
        """See :meth:`Codec.encode`."""
        levels, scale = fit_uniform(weight, UniformGrid(-1, 1))
        symbols = self._symbols(weight.values.shape)
        return Encoded(levels, scale, weight.axis, symbols.pack(levels.reshape(-1) + 1))

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """See :meth:`Codec.decode`."""
        symbols = self._symbols(shape)
        table = builder.shared("ternary", symbols.digits().astype(np.int8) - 1)
        value = builder.add("Gather", table, symbols.unpack(names, builder))
        filled = math.prod(symbols.symbol_shape) * symbols.per_symbol
        return reshaped(value, filled, shape, builder)

    def _symbols(self, shape: Sequence[int]) -> Symbols:
        return Symbols((math.prod(shape),), 3)


def normal_float(bits: int) -> Float64Array:
    """2ᵇ levels for normally distributed values of variance 1, ascending.

    The middles, in probability, of as many intervals of the same probability: Dettmers et al.,
    "QLoRA", 2023, equation 4, without the second half that makes one level exactly zero.
    """
    count = 1 << bits
    return np.asarray(ndtri((np.arange(count) + 0.5) / count), np.float64)
