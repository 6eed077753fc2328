"""Packing small integers into bytes, and the ONNX nodes that unpack them.

Two forms. :class:`Planes` splits each integer into digits of 4, 2 and 1 bits and stores one tensor
of bytes per digit, for any whole number of bits. :class:`Symbols` packs several codes into one
byte, for numbers of levels that are not powers of two.

ONNX Runtime keeps every intermediate until the folding pass ends. So a decoder's cost in memory and
time is the number of nodes whose outputs are as large as the weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from quantkit.codecs.base import DecodeBuilder, Packed, Part
from quantkit.errors import InputError

#: How the bits of a code are read: 0 … 2ᵇ−1; two's complement; or midrise, 2v+1 for a two's
#: complement v, which are the odd numbers from 1−2ᵇ to 2ᵇ−1.
Reading = Literal["unsigned", "signed", "midrise"]
IntegerArray = npt.NDArray[Any]

#: Widths of the digits that make a code, lowest first. Each divides 8, so no digit crosses bytes.
_DIGITS = {1: (1,), 2: (2,), 3: (2, 1), 4: (4,), 5: (4, 1), 6: (4, 2), 7: (4, 2, 1), 8: (8,)}
_BLOCK = 8


@dataclass(frozen=True)
class Planes:
    """``count`` integers of ``bits`` bits each, digit by digit.

    Blocks of 8 integers take ``bits`` bytes; the last block is zero-padded. A digit of w bits is a
    uint8 tensor with 8/w digits in each byte, the first in the lowest bits, and of shape (blocks,),
    (blocks, 2) or (blocks, 2, 2) for w of 1, 2 and 4: then the table look-ups of all digits have
    the same shape without a Reshape. Integers of 8 bits are stored as they are.

    Args:
        count: how many integers; may be 0.
        bits: 1 to 8; at most 7 for ``midrise``.
        reading: which integers the bits represent.
        prefix: of the names of the parts.
    """

    count: int
    bits: int
    reading: Reading = "unsigned"
    prefix: str = "plane"

    def __post_init__(self) -> None:
        highest = 7 if self.reading == "midrise" else 8
        if not 1 <= self.bits <= highest:
            raise InputError(
                f"cannot store {self.reading} integers in {self.bits} bits; choose 1 to {highest}"
            )

    @property
    def blocks(self) -> int:
        """Number of blocks of 8 integers, including padding."""
        return -(-self.count // _BLOCK)

    @property
    def capacity(self) -> int:
        """Number of integers including padding, as :meth:`unpack` returns them."""
        return self.blocks * _BLOCK

    def parts(self) -> tuple[Part, ...]:
        """The tensors to store, ``prefix`` with 0, 1, … appended, lowest digit first."""
        stored_signed = self.bits == 8 and self.reading == "signed"
        data_type = TensorProto.INT8 if stored_signed else TensorProto.UINT8
        return tuple(
            Part(f"{self.prefix}{index}", data_type, (self.blocks, *_bytes_of_block(width)))
            for index, width in enumerate(_DIGITS[self.bits])
        )

    def pack(self, integers: IntegerArray) -> tuple[Packed, ...]:
        """Store ``count`` integers of any shape, in C order; each one that ``reading`` can give."""
        flat = np.zeros(self.capacity, np.int16)
        flat[: self.count] = integers.reshape(-1)
        if self.reading == "midrise":
            flat >>= 1  # 2v+1 → v; the padding becomes 0 too
        codes = flat.astype(np.uint8)
        packed: list[Packed] = []
        shift = 0
        for part, width in zip(self.parts(), _DIGITS[self.bits], strict=True):
            digits = (codes >> shift & (2**width - 1)).reshape(-1, 8 // width)
            raw = np.zeros(len(digits), np.uint8)
            for place in range(8 // width):
                raw |= digits[:, place] << (width * place)
            packed.append(Packed(part, raw.tobytes()))
            shift += width
        return tuple(packed)

    def unpack(self, names: Mapping[str, str], builder: DecodeBuilder) -> str:
        """Append the nodes that unpack the integers.

        Returns:
            A value of shape (blocks, 2, 2, 2), uint8 if unsigned, else int8; the last block still
            has its padding, which :func:`reshaped` removes.
        """
        inputs = [names[part.name] for part in self.parts()]
        if self.bits == 8:
            return inputs[0]
        joined = ""
        shift = 0
        for name, width in zip(inputs, _DIGITS[self.bits], strict=True):
            table = _digit_table(self.bits, width, shift, self.reading)
            key = f"{self.reading}{width}.{shift}{'.top' if shift + width == self.bits else ''}"
            index = builder.add("Cast", name, to=TensorProto.INT32)
            digit = builder.add("Gather", builder.shared(key, table), index)
            joined = builder.add("BitwiseOr", joined, digit) if joined else digit
            shift += width
        return joined


@dataclass(frozen=True)
class Symbols:
    """``count`` codes from 0 to ``levels`` − 1, several to a byte.

    A byte is Σⱼ codeⱼ · levelsʲ over as many consecutive codes as fit: 5 of 3 levels (1.6 bits
    each), 3 of 6. The last byte is zero-padded.

    Args:
        count: how many codes; may be 0.
        levels: 2 to 256.
    """

    count: int
    levels: int

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 256:
            raise InputError(f"cannot store codes of {self.levels} levels; choose 2 to 256")

    @property
    def per_byte(self) -> int:
        """Codes in a byte."""
        return max(codes for codes in range(1, 9) if self.levels**codes <= 256)

    @property
    def bytes(self) -> int:
        """Number of bytes, including padding."""
        return -(-self.count // self.per_byte)

    @property
    def capacity(self) -> int:
        """Number of codes including padding."""
        return self.bytes * self.per_byte

    def digits(self) -> npt.NDArray[np.uint8]:
        """The codes of each byte value: (levels to the power per_byte, per_byte)."""
        symbols = np.arange(self.levels**self.per_byte)[:, None]
        return (symbols // self.levels ** np.arange(self.per_byte) % self.levels).astype(np.uint8)

    def parts(self) -> tuple[Part, ...]:
        """The tensor to store."""
        return (Part("symbols", TensorProto.UINT8, (self.bytes,)),)

    def pack(self, codes: IntegerArray) -> tuple[Packed, ...]:
        """Store ``count`` codes of any shape, in C order, each less than ``levels``."""
        filled = np.zeros(self.capacity, np.uint8)
        filled[: self.count] = codes.reshape(-1)
        powers = self.levels ** np.arange(self.per_byte)
        symbols = filled.reshape(-1, self.per_byte) @ powers.astype(np.uint8)
        return (Packed(self.parts()[0], symbols.tobytes()),)

    def unpack(self, names: Mapping[str, str], builder: DecodeBuilder) -> str:
        """Append the node that returns the bytes.

        Returns:
            An int32 value of shape (bytes,): ready as index for a Gather on a table like
            :meth:`digits`, after which :func:`reshaped` removes the padding.
        """
        return builder.add("Cast", names["symbols"], to=TensorProto.INT32)


def reshaped(value: str, count: int, shape: Sequence[int], builder: DecodeBuilder) -> str:
    """Append the nodes that reshape ``value`` to ``shape``, without the padding at its end.

    Args:
        value: of any shape, with ``count`` elements; the first ones in C order are kept.
        count: at least as many as ``shape`` holds.
    """
    kept = math.prod(shape)
    if kept < count:
        flat = builder.add("Reshape", value, builder.vector(-1))
        value = builder.add("Slice", flat, builder.vector(0), builder.vector(kept))
    # Otherwise a 0 in the shape would copy the dimension of the input.
    literal_zeros = {} if kept else {"allowzero": 1}
    return builder.add("Reshape", value, builder.vector(*shape), **literal_zeros)


def _bytes_of_block(width: int) -> tuple[int, ...]:
    """Shape of the bytes that hold one digit of ``width`` bits of each of a block's integers."""
    return (2,) * (width.bit_length() - 1)


def _digit_table(bits: int, width: int, shift: int, reading: Reading) -> IntegerArray:
    """What each byte of a plane contributes to its integers, by bitwise or.

    Returns:
        (256, 2, …, 2), with 8/width entries per byte value.
    """
    places = np.arange(8 // width) * width
    digits: IntegerArray = np.arange(256)[:, None] >> places & (2**width - 1)
    if reading != "unsigned" and shift + width == bits:
        # The top digit includes the sign extension, so that the result is two's complement.
        digits = np.where(digits >= 2 ** (width - 1), digits - 2**width, digits)
    table: IntegerArray = digits << shift
    if reading == "midrise":
        table = 2 * table + (shift == 0)
    shape = (256, *(2,) * (3 - len(_bytes_of_block(width))))
    return table.reshape(shape).astype(np.uint8 if reading == "unsigned" else np.int8)
