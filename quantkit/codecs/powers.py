"""Weights on signed powers of two, as incremental network quantization trains them.

Zhou et al., "Incremental Network Quantization: Towards Lossless CNNs with Low-Precision Weights",
2017, section 2.1. There a weight of b bits is zero or ±2ⁿ for 2ᵇ⁻² exponents n, because one of the
bits says whether it is zero. Here all 2ᵇ codes are levels, so 4 bits hold seven exponents of either
sign, where theirs need 5 bits for eight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from quantkit.codecs.base import DecodeBuilder, Encoded, Part, Weight
from quantkit.codecs.channels import from_rows
from quantkit.codecs.lookup import ROW_MULTIPLE, Lookup, TableArray
from quantkit.codecs.symbols import reshaped
from quantkit.codecs.table_rounding import round_choices
from quantkit.errors import InputError


@dataclass(frozen=True)
class Powers:
    """Each weight is its channel's scale times 0 or a signed power of two.

    The levels are whole numbers of int8, so the kernel multiplies by exactly what was trained. With
    zero in the middle there is one level more on one side, the most negative one, as in two's
    complement.

    Args:
        bits: 2 to 4.

    Raises:
        InputError: of other bits.
    """

    name: ClassVar[str] = "powers"
    opset: ClassVar[int] = 18

    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 4:
            raise InputError(
                f"powers has 2 to 4 bits, not {self.bits}: beyond, powers of two leave int8"
            )

    @property
    def levels(self) -> TableArray:
        """(2ᵇ,) ascending; for 3 bits −8, −4, −2, −1, 0, 1, 2, 4."""
        powers = 1 << np.arange(1 << (self.bits - 1))
        return np.concatenate([-powers[::-1], [0], powers[:-1]]).astype(np.int8)

    def tables_within(self, largest_level: int | None) -> TableArray:
        """See :class:`~quantkit.codecs.fixed_levels.FixedLevels`."""
        levels = self.levels
        if largest_level is not None:
            levels = levels[np.abs(levels.astype(np.int16)) <= largest_level]
        return levels[None]

    @property
    def weights_per_table(self) -> None:
        """See :class:`~quantkit.codecs.fixed_levels.FixedLevels`."""
        return None

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """See :meth:`Codec.parts`."""
        # The table is the same for all weights of the file, and stands there once.
        return self._lookup(shape).parts()[:-1]

    def encode(self, weight: Weight) -> Encoded:
        """See :meth:`Codec.encode`."""
        shape, axis = weight.values.shape, weight.axis
        tables = self.tables_within(weight.largest_level)
        fitted = round_choices(weight, tables)
        # Codes are places among all levels, of which the lowest may be beyond the limit.
        first = int(np.searchsorted(self.levels, tables[0, 0]))
        codes = from_rows(fitted.codes + np.uint8(first), shape, axis)
        lookup = self._lookup(shape)
        filled = np.zeros((1, lookup.length), np.uint8)
        filled[0, : codes.size] = codes.reshape(-1)
        packed = lookup.pack(filled, fitted.choices, self.levels[None])[:-1]
        return Encoded(from_rows(fitted.levels(), shape, axis), fitted.scale, axis, packed)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """See :meth:`Codec.decode`."""
        lookup = self._lookup(shape)
        table = builder.shared(f"powers{self.bits}", self.levels[None])
        value = lookup.unpack({**names, "tables": table}, builder)
        return reshaped(value, lookup.length, shape, builder)

    def stored_along(self, axis: int) -> int:
        """See :class:`~quantkit.codecs.pieces.Sliceable`."""
        return 0

    def _lookup(self, shape: Sequence[int]) -> Lookup:
        filled = -(-prod(shape) // ROW_MULTIPLE) * ROW_MULTIPLE
        return Lookup(1, filled, self.bits)
