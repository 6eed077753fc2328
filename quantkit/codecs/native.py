"""Evenly spaced levels in ONNX's own types of 4 and 2 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from onnx import TensorProto

from quantkit.codecs.base import DecodeBuilder, Encoded, Packed, Part, Weight
from quantkit.codecs.symbols import Planes
from quantkit.codecs.uniform import GridName, UniformGrid, reading_of
from quantkit.codecs.uniform_rounding import round_uniform
from quantkit.errors import InputError

_SIGNED = {4: TensorProto.INT4, 2: TensorProto.INT2}
_UNSIGNED = {4: TensorProto.UINT4, 2: TensorProto.UINT2}
_OPSET = {4: 21, 2: 25}


@dataclass(frozen=True)
class Native:
    """Stores a weight as one ``int4`` or ``int2`` tensor, which a Cast turns into int8.

    Fastest to load, with the fewest nodes, but for new runtimes only. A Cast cannot produce odd
    levels, so a midrise grid is stored as ``uint4`` or ``uint2`` and looked up in a table.

    Args:
        bits: 4, or 2.
        grid: see :data:`GridName`; ``midrise`` takes more time and memory to load.

    Raises:
        InputError: ONNX has no type of this width, or there is no such grid.
    """

    name: ClassVar[str] = "native"

    bits: int
    grid: GridName = "mid-tread"

    def __post_init__(self) -> None:
        if self.bits not in _SIGNED:
            raise InputError(f"ONNX has no native type of {self.bits} bits; choose 4 or 2")
        UniformGrid.of(self.grid, self.bits)

    @property
    def opset(self) -> int:
        """21 introduced 4 bits, 25 introduced 2."""
        return _OPSET[self.bits]

    @property
    def spacing(self) -> UniformGrid:
        """See :class:`~quantkit.codecs.uniform.EvenlySpaced`."""
        return UniformGrid.of(self.grid, self.bits)

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """One tensor in the weight's shape."""
        types = _SIGNED if self.grid == "mid-tread" else _UNSIGNED
        return (Part("weight", types[self.bits], tuple(shape)),)

    def encode(self, weight: Weight) -> Encoded:
        """Search each channel's scale; see :func:`round_uniform`."""
        levels, scale = round_uniform(weight, self.spacing)
        (part,) = self.parts(levels.shape, weight.axis)
        # A plane has the layout of ONNX's small types, but its last block is padded.
        (plane,) = Planes(levels.size, self.bits, reading_of(self.grid)).pack(levels)
        return Encoded(levels, scale, weight.axis, (Packed(part, plane.raw[: part.bytes]),))

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Cast, and for a midrise grid look up."""
        if self.grid == "mid-tread":
            return builder.add("Cast", names["weight"], to=TensorProto.INT8)
        half = 1 << (self.bits - 1)
        # Codes are two's complement: those of the negative levels come last.
        table = 2 * np.roll(np.arange(-half, half, dtype=np.int8), half) + 1
        index = builder.add("Cast", names["weight"], to=TensorProto.INT32)
        return builder.add("Gather", builder.shared(f"midrise.u{self.bits}", table), index)
