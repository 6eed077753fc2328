"""Short groups of weights that each choose one of a few tables of levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quantkit.codecs.base import DecodeBuilder, Encoded, Part, Weight
from quantkit.codecs.lookup import ROW_MULTIPLE, Lookup, check_bits
from quantkit.codecs.symbols import reshaped
from quantkit.codecs.tables import channels_first, fit_tables
from quantkit.errors import InputError


@dataclass(frozen=True)
class Grouped:
    """Each group of weights of a channel takes one of 2ᵗ tables of 2ᵇ int8 levels.

    A layer's tables are learned from its weights: some are narrow, for groups of small weights,
    some wide. A group's choice takes t bits, so a weight takes ``bits + table_bits / group_size``,
    and the tables take 2ᵗ⁺ᵇ bytes.

    Args:
        bits: b, 1 to 6.
        group_size: weights in a group, consecutive in a channel; a multiple of 8. The last group
            of a channel is filled up.
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
        fitted = fit_tables(
            weight, 1 << self.bits, group_size=self.group_size, tables=1 << self.table_bits
        )
        moved = channels_first(shape, axis)
        inputs = math.prod(moved[1:])
        filled = fitted.levels().reshape(moved[0], self._groups(inputs) * self.group_size)
        levels = np.moveaxis(filled[:, :inputs].reshape(moved), 0, axis)
        packed = self._lookup(shape, axis).pack(fitted.codes, fitted.choices, fitted.tables)
        return Encoded(np.ascontiguousarray(levels), fitted.scale, axis, packed)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """See :meth:`Codec.decode`."""
        lookup = self._lookup(shape, axis)
        value = lookup.unpack(names, builder)
        moved = channels_first(shape, axis)
        channels, inputs = moved[0], math.prod(moved[1:])
        if inputs % self.group_size:
            filled = builder.vector(channels, self._groups(inputs) * self.group_size)
            value = builder.add("Reshape", value, filled)
            axes = (builder.vector(0), builder.vector(inputs), builder.vector(1))
            value = builder.add("Slice", value, *axes)
        value = reshaped(value, channels * inputs, moved, builder)
        if axis == 0:
            return value
        back = [*range(1, axis + 1), 0, *range(axis + 1, len(shape))]
        return builder.add("Transpose", value, perm=back)

    def _lookup(self, shape: Sequence[int], axis: int) -> Lookup:
        moved = channels_first(shape, axis)
        groups = moved[0] * self._groups(math.prod(moved[1:]))
        return Lookup(groups, self.group_size, self.bits, self.table_bits)

    def _groups(self, inputs: int) -> int:
        """How many groups a channel has, the last one filled up."""
        return -(-inputs // self.group_size)
