"""One bit a weight: its sign, times the scale of its channel or of its group.

Courbariaux, Bengio and David, "BinaryConnect: Training Deep Neural Networks with binary weights
during propagations", 2015; the scales are those of Rastegari et al., "XNOR-Net", 2016, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from onnx import TensorProto

from quantkit.codecs.base import DecodeBuilder, Encoded, Packed, Part, Weight
from quantkit.codecs.channels import from_rows, inputs_of, nodes_from_rows
from quantkit.codecs.lookup import ROW_MULTIPLE, TableArray
from quantkit.codecs.symbols import Symbols, reshaped
from quantkit.codecs.table_rounding import round_choices
from quantkit.errors import InputError

#: Exclusive or with −2 inverts all bits but the lowest, which makes the negative of an odd number.
_NEGATIVE = -2
_SIZES = np.arange(1, 128, 2, dtype=np.int8)


@dataclass(frozen=True)
class Binary:
    """Each weight is plus or minus the size of its channel, or of its group.

    The sizes of groups are odd whole numbers up to 127 times the channel's scale, one byte each, so
    a weight takes 1 + 8 / ``group_size`` bits.

    Args:
        group_size: consecutive weights of a channel with a size of their own, a multiple of 8; the
            last group of a channel is padded. 0: one for the whole channel, its scale.

    Raises:
        InputError: there are no such groups.
    """

    name: ClassVar[str] = "binary"
    bits: ClassVar[float] = 1
    opset: ClassVar[int] = 18

    group_size: int = 0

    def __post_init__(self) -> None:
        if self.group_size < 0 or self.group_size % ROW_MULTIPLE:
            raise InputError(
                f"group_size must be 0 or a multiple of {ROW_MULTIPLE}, not {self.group_size}"
            )

    def tables_within(self, largest_level: int | None) -> TableArray:
        """See :class:`~quantkit.codecs.fixed_levels.FixedLevels`."""
        sizes = _SIZES if self.group_size else _SIZES[:1]
        if largest_level is not None:
            sizes = sizes[sizes <= largest_level]
        return np.stack([-sizes, sizes], axis=1)

    @property
    def weights_per_table(self) -> int | None:
        """See :class:`~quantkit.codecs.fixed_levels.FixedLevels`."""
        return self.group_size or None

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """See :meth:`Codec.parts`."""
        signs = self._signs(shape, axis).parts()
        if not self.group_size:
            return signs
        return (*signs, Part("sizes", TensorProto.INT8, (self._groups(shape, axis), 1)))

    def encode(self, weight: Weight) -> Encoded:
        """See :meth:`Codec.encode`."""
        shape, axis = weight.values.shape, weight.axis
        tables = self.tables_within(weight.largest_level)
        fitted = round_choices(weight, tables, self.weights_per_table)
        rows = fitted.levels().reshape(shape[axis], self._length(shape, axis))
        levels = from_rows(rows, shape, axis)
        ordered = rows if self.group_size else levels
        packed = self._signs(shape, axis).pack((ordered < 0).astype(np.uint8))
        if self.group_size:
            packed = (*packed, Packed.of("sizes", tables[fitted.choices, 1][:, None]))
        return Encoded(levels, fitted.scale, axis, packed)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """See :meth:`Codec.decode`."""
        signs = self._signs(shape, axis)
        digits, index = signs.digits().astype(np.int8), signs.unpack(names, builder)
        if not self.group_size:
            value = builder.add("Gather", builder.shared("binary", 1 - 2 * digits), index)
            return reshaped(value, signs.capacity, shape, builder)
        masks = builder.add("Gather", builder.shared("masks", _NEGATIVE * digits), index)
        groups = (self._groups(shape, axis), self.group_size)
        masks = reshaped(masks, signs.capacity, groups, builder)
        value = builder.add("BitwiseXor", masks, names["sizes"])
        return nodes_from_rows(value, self._length(shape, axis), shape, axis, builder)

    def stored_along(self, axis: int) -> int:
        """See :class:`~quantkit.codecs.pieces.Sliceable`."""
        return axis if self.group_size else 0

    def _signs(self, shape: Sequence[int], axis: int) -> Symbols:
        """Signs in the order of the weight, or of its channels if those are padded."""
        return Symbols(shape[axis] * self._length(shape, axis), 2)

    def _groups(self, shape: Sequence[int], axis: int) -> int:
        return shape[axis] * self._length(shape, axis) // max(self.group_size, 1)

    def _length(self, shape: Sequence[int], axis: int) -> int:
        """Signs of a channel, with its last group padded."""
        inputs = inputs_of(shape, axis)
        return -(-inputs // self.group_size) * self.group_size if self.group_size else inputs
