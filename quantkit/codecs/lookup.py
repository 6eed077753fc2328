"""Codes that index a small table of levels, and the ONNX nodes that look them up.

Several codes form a word. While the model loads, the table is expanded to one row per word. One
Gather then returns several weights per index, which limits the number of indices, 4 bytes each in
memory. Rows of codes can choose between several tables, or have one each; the table's number forms
the high bits of the index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from quantkit.codecs.base import DecodeBuilder, Packed, Part
from quantkit.codecs.symbols import Planes, reshaped
from quantkit.errors import InputError

CodeArray = npt.NDArray[np.uint8]
TableArray = npt.NDArray[np.int8]

#: Codes in a word, by bits of a code. Words of 8 to 12 bits: a byte, and a digit of 2 or 4 bits.
_PER_WORD = {1: 8, 2: 4, 3: 4, 4: 2, 5: 2, 6: 2}
#: Codes per look-up if each row has its own table: with more, the expanded tables would be larger
#: than the weights.
_PER_INDEX = _PER_WORD | {3: 2}
#: Bits of a word's index in its table, if rows choose their table.
_INDEX_BITS = 16
#: The length of a row is a multiple of it, so that no byte is shared by two rows.
ROW_MULTIPLE = 8


@dataclass(frozen=True)
class Lookup:
    """Rows of codes, each row with one of a few tables or with a table of its own.

    Args:
        rows: how many.
        length: codes in a row, a multiple of :data:`ROW_MULTIPLE`.
        bits: of a code, 1 to 6.
        choice_bits: of a row's choice of table; 0 for one table.
        table_per_row: each row has its own table, without a choice.
    """

    rows: int
    length: int
    bits: int
    choice_bits: int = 0
    table_per_row: bool = False

    def __post_init__(self) -> None:
        check_bits(self.bits, self.choice_bits)
        if self.length % ROW_MULTIPLE:
            raise InputError(
                f"cannot store rows of {self.length} codes; choose a multiple of {ROW_MULTIPLE}"
            )

    @property
    def tables(self) -> int:
        """How many tables of 2ᵇ levels."""
        return self.rows if self.table_per_row else 1 << self.choice_bits

    def parts(self) -> tuple[Part, ...]:
        """The tensors to store."""
        parts = [Part("low", TensorProto.UINT8, self._word_shape)]
        if self._high_bits:
            parts.append(Part("high", TensorProto.UINT8, self._word_shape[:-1]))
        if self.choice_bits:
            parts += self._choices.parts()
        return (*parts, Part("tables", TensorProto.INT8, (self.tables, 1 << self.bits)))

    def pack(self, codes: CodeArray, choices: CodeArray, tables: TableArray) -> tuple[Packed, ...]:
        """Store ``codes`` (rows, length), ``choices`` (rows,) and ``tables`` (tables, 2ᵇ)."""
        digits = codes.reshape(*self._word_shape, self._per_word)
        words = np.zeros(self._word_shape, np.uint16)
        for place in range(self._per_word):
            words <<= self.bits
            words |= digits[..., place]
        raw = [(words & 255).astype(np.uint8).tobytes()]
        if self._high_bits:
            high = np.zeros(self._word_shape[:-1], np.uint8)
            for place in range(self._word_shape[-1]):
                high |= (words[..., place] >> 8).astype(np.uint8) << self._high_bits * place
            raw.append(high.tobytes())
        if self.choice_bits:
            raw += [stored.raw for stored in self._choices.pack(choices)]
        raw.append(tables.tobytes())
        return tuple(Packed(part, data) for part, data in zip(self.parts(), raw, strict=True))

    def unpack(self, names: Mapping[str, str], builder: DecodeBuilder) -> str:
        """Append the nodes that look the levels up.

        Returns:
            An int8 value whose elements are, in C order, those of (rows, length).
        """
        index = names["low"]
        if self._high_bits or self.choice_bits:
            index = builder.add("Cast", index, to=TensorProto.UINT16)
        if self._high_bits:
            high = builder.add("Cast", names["high"], to=TensorProto.INT32)
            digits = builder.shared(f"high{self._high_bits}", _high_table(self._high_bits))
            index = builder.add("BitwiseOr", index, builder.add("Gather", digits, high))
        if self.choice_bits:
            index = builder.add("BitwiseOr", index, self._offsets(names, builder))
        index = builder.add("Cast", index, to=TensorProto.INT32)
        if self.table_per_row:
            index = self._in_own_table(index, builder)
        return builder.add("Gather", self._index_levels(names["tables"], builder), index)

    @property
    def _per_word(self) -> int:
        return _PER_WORD[self.bits]

    @property
    def _word_bits(self) -> int:
        return self.bits * self._per_word

    @property
    def _per_index(self) -> int:
        return _PER_INDEX[self.bits] if self.table_per_row else self._per_word

    @property
    def _index_bits(self) -> int:
        return self.bits * self._per_index

    @property
    def _high_bits(self) -> int:
        """Bits of a word beyond its low byte."""
        return self._word_bits - 8

    @property
    def _word_shape(self) -> tuple[int, ...]:
        """Words of a row; the high bits of those along the last dimension share a byte."""
        words = self.length // self._per_word
        if not self._high_bits:
            return (self.rows, words)
        together = 8 // self._high_bits
        return (self.rows, words // together, together)

    @property
    def _choices(self) -> Planes:
        return Planes(self.rows, self.choice_bits, "unsigned", "choice")

    def _offsets(self, names: Mapping[str, str], builder: DecodeBuilder) -> str:
        """Each row's first index, uint16, to be joined to its words by bitwise or."""
        choices = builder.add("Cast", self._choices.unpack(names, builder), to=TensorProto.INT32)
        offsets = builder.add("Mul", choices, _int32(1 << self._word_bits, builder))
        offsets = builder.add("Cast", offsets, to=TensorProto.UINT16)
        shape = (self.rows, *(1,) * (len(self._word_shape) - 1))
        return reshaped(offsets, self._choices.capacity, shape, builder)

    def _in_own_table(self, word: str, builder: DecodeBuilder) -> str:
        """Indices into all tables, one after the other, int32: (rows, …)."""
        index, rank = word, len(self._word_shape)
        if self._per_index < self._per_word:
            digits = _digits(self._index_bits, self._per_word // self._per_index, builder)
            digits = builder.add("Cast", digits, to=TensorProto.INT32)
            index, rank = builder.add("Gather", digits, word), rank + 1
        each = 1 << self._index_bits
        first = builder.add("Range", *(_int32(n, builder) for n in (0, self.rows * each, each)))
        first = builder.add("Reshape", first, builder.vector(self.rows, *(1,) * (rank - 1)))
        return builder.add("Add", index, first)

    def _index_levels(self, tables: str, builder: DecodeBuilder) -> str:
        """Levels of every index in every table: (tables · indices, codes per index)."""
        codes = _digits(self.bits, self._per_index, builder)
        levels = builder.add("Gather", tables, codes, axis=1)
        shape = builder.vector(self.tables << self._index_bits, self._per_index)
        return builder.add("Reshape", levels, shape)


def check_bits(bits: int, choice_bits: int = 0) -> None:
    """Check that codes of ``bits`` bits with this choice of tables can be looked up.

    Raises:
        InputError: they cannot.
    """
    if bits not in _PER_WORD:
        raise InputError(
            f"cannot look codes of {bits} bits up in a table; choose 1 to {max(_PER_WORD)}, or "
            f"the codec bitplane"
        )
    most = min(_INDEX_BITS - bits * _PER_WORD[bits], 8)
    if not 0 <= choice_bits <= most:
        raise InputError(
            f"cannot choose between 2^{choice_bits} tables for codes of {bits} bits; choose 0 to "
            f"{most} table bits"
        )


def _high_table(width: int) -> npt.NDArray[np.uint16]:
    """High digits of the words that share a byte, in their place: (256, 8 // width)."""
    places = np.arange(8 // width) * width
    digits = np.arange(256)[:, None] >> places & ((1 << width) - 1)
    return (digits << 8).astype(np.uint16)


def _digits(bits: int, count: int, builder: DecodeBuilder) -> str:
    """The digits of all numbers of ``count`` digits of ``bits`` bits, highest digit first, int64.

    Computed while the model loads, because a table would take many times the bytes in the file.

    Returns:
        A value of shape (numbers, count).
    """
    words = builder.shared(f"int64.{1 << bits * count}", np.int64(1 << bits * count))
    zero, one = builder.shared("int64.0", np.int64(0)), builder.shared("int64.1", np.int64(1))
    every = builder.add("Range", zero, words, one)
    every = builder.add("Reshape", every, builder.vector(-1, 1))
    powers = builder.vector(*(1 << bits * place for place in reversed(range(count))))
    return builder.add("Mod", builder.add("Div", every, powers), builder.vector(1 << bits))


def _int32(number: int, builder: DecodeBuilder) -> str:
    return builder.shared(f"int32.{number}", np.int32(number))
