"""Short groups of weights, each with a choice of one of a few tables of levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from quantkit.codecs.base import DecodeBuilder, Encoded, Part, Weight
from quantkit.codecs.channels import from_rows, inputs_of, nodes_from_rows
from quantkit.codecs.lookup import ROW_MULTIPLE, Lookup, check_bits
from quantkit.codecs.table_rounding import round_tables
from quantkit.errors import InputError


@dataclass(frozen=True)
class Grouped:
    """Each group of weights of a channel takes one of 2ᵗ tables of 2ᵇ int8 levels.

    A layer's tables are learned from its weights: narrow ones for groups of small weights, and wide
    ones. The choice takes t bits per group, so a weight takes ``bits + table_bits / group_size``,
    and the tables take 2ᵗ⁺ᵇ bytes.

    Args:
        bits: b, 1 to 6.
        group_size: weights in a group, consecutive in a channel; a multiple of 8. The last group of
            a channel is padded.
        table_bits: t; at least 1, at most 4 for 3 and 6 bits, 6 for 5 bits, else 8.

    Raises:
        InputError: a setting is out of its range.
    """

    name: ClassVar[str] = "grouped"
    opset: ClassVar[int] = 18

    bits: int
    group_size: int = 16
    table_bits: int = 4

    def __post_init__(self) -> None:
        check_bits(self.bits, self.table_bits)
        if self.table_bits < 1:
            raise InputError("grouped codes need at least 1 table bit; one table is a codebook")
        if self.group_size < 1 or self.group_size % ROW_MULTIPLE:
            raise InputError(
                f"group_size must be a multiple of {ROW_MULTIPLE}, not {self.group_size}"
            )

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """See :meth:`Codec.parts`."""
        return self._lookup(shape, axis).parts()

    def encode(self, weight: Weight) -> Encoded:
        """See :meth:`Codec.encode`."""
        shape, axis = weight.values.shape, weight.axis
        fitted = round_tables(
            weight, 1 << self.bits, group_size=self.group_size, tables=1 << self.table_bits
        )
        rows = fitted.levels().reshape(shape[axis], self._length(shape, axis))
        packed = self._lookup(shape, axis).pack(fitted.codes, fitted.choices, fitted.tables)
        return Encoded(from_rows(rows, shape, axis), fitted.scale, axis, packed)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """See :meth:`Codec.decode`."""
        value = self._lookup(shape, axis).unpack(names, builder)
        return nodes_from_rows(value, self._length(shape, axis), shape, axis, builder)

    def stored_along(self, axis: int) -> int:
        """See :class:`~quantkit.codecs.pieces.Sliceable`."""
        return axis

    def _lookup(self, shape: Sequence[int], axis: int) -> Lookup:
        groups = shape[axis] * self._length(shape, axis) // self.group_size
        return Lookup(groups, self.group_size, self.bits, self.table_bits)

    def _length(self, shape: Sequence[int], axis: int) -> int:
        """Codes of a channel, with its last group padded."""
        return -(-inputs_of(shape, axis) // self.group_size) * self.group_size
