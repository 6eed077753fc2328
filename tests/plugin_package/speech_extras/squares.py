"""Weights on signed squares, whose steps grow with the weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np
from onnx import TensorProto

from quantkit.codecs.base import DecodeBuilder, Encoded, Part, Weight
from quantkit.codecs.symbols import Planes, reshaped
from quantkit.errors import InputError


@dataclass(frozen=True)
class Squares:
    """Each weight is its channel's scale times a signed square.

    Args:
        bits: 2 to 4.
    """

    name: ClassVar[str] = "squares"
    opset: ClassVar[int] = 18

    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 4:
            raise InputError(f"squares has 2 to 4 bits, not {self.bits}")

    @property
    def levels(self) -> np.ndarray:
        """The 2ᵇ levels, ascending: for 3 bits −16, −9, −4, −1, 0, 1, 4, 9."""
        roots = np.arange(-(1 << (self.bits - 1)), 1 << (self.bits - 1))
        return (roots * np.abs(roots)).astype(np.int8)

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        return self._planes(shape).parts()

    def encode(self, weight: Weight) -> Encoded:
        others = tuple(i for i in range(weight.values.ndim) if i != weight.axis)
        largest = np.abs(weight.values).max(others, keepdims=True)
        # A channel of zeros needs a positive scale all the same.
        scale = np.where(largest > 0, largest / self.levels[-1], 1).astype(np.float32)
        between = (self.levels[1:] + self.levels[:-1].astype(np.float32)) / 2
        codes = np.searchsorted(between, weight.values / scale)
        packed = self._planes(codes.shape).pack(codes)
        return Encoded(self.levels[codes], scale.reshape(-1), weight.axis, packed)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        planes = self._planes(shape)
        codes = builder.add("Cast", planes.unpack(names, builder), to=TensorProto.INT32)
        table = builder.shared(f"squares{self.bits}", self.levels)
        return reshaped(builder.add("Gather", table, codes), planes.capacity, shape, builder)

    def _planes(self, shape: Sequence[int]) -> Planes:
        return Planes(prod(shape), self.bits)
