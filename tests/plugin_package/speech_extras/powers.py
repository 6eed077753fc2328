"""Weights on signed powers of two (Miyashita et al., 2016, arXiv:1603.01025)."""

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
class PowersOfTwo:
    """Each weight is its channel's scale times 0 or a signed power of two.

    Args:
        bits: 2 to 4.
    """

    name: ClassVar[str] = "powers"
    opset: ClassVar[int] = 18

    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 4:
            raise InputError(f"powers has 2 to 4 bits, not {self.bits}")

    @property
    def levels(self) -> np.ndarray:
        """The 2ᵇ levels, ascending: for 3 bits −8, −4, −2, −1, 0, 1, 2, 4."""
        powers = 2 ** np.arange(1 << (self.bits - 1))
        return np.concatenate([-powers[::-1], [0], powers[:-1]]).astype(np.int8)

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
        table = builder.shared(f"powers{self.bits}", self.levels)
        return reshaped(builder.add("Gather", table, codes), planes.capacity, shape, builder)

    def _planes(self, shape: Sequence[int]) -> Planes:
        return Planes(prod(shape), self.bits)
