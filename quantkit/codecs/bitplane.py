"""Evenly spaced levels in any whole number of bits, stored digit by digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from quantkit.codecs.base import DecodeBuilder, Encoded, Part, Weight
from quantkit.codecs.symbols import Planes, reshaped
from quantkit.codecs.uniform import GridName, UniformGrid, default_grid, reading_of
from quantkit.codecs.uniform_rounding import round_uniform


@dataclass(frozen=True)
class Bitplane:
    """Stores each weight in 1 to 8 bits without side information, in the kernel's element order.

    Args:
        bits: 1 to 8; 1 bit is the sign alone.
        grid: see :data:`GridName`; None for :func:`default_grid`.

    Raises:
        InputError: there is no such grid.
    """

    name: ClassVar[str] = "bitplane"
    opset: ClassVar[int] = 18

    bits: int
    grid: GridName | None = None

    def __post_init__(self) -> None:
        UniformGrid.of(self._grid_name(), self.bits)

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """One tensor of bytes per digit of 4, 2 or 1 bits."""
        return self._planes(prod(shape)).parts()

    def encode(self, weight: Weight) -> Encoded:
        """Search each channel's scale; see :func:`round_uniform`."""
        levels, scale = round_uniform(weight, self.spacing)
        return Encoded(levels, scale, weight.axis, self._planes(levels.size).pack(levels))

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Look up each digit, and join the digits by bitwise or."""
        planes = self._planes(prod(shape))
        return reshaped(planes.unpack(names, builder), planes.capacity, shape, builder)

    def stored_along(self, axis: int) -> int:
        """See :class:`~quantkit.codecs.pieces.Sliceable`."""
        return 0

    @property
    def spacing(self) -> UniformGrid:
        """See :class:`~quantkit.codecs.uniform.EvenlySpaced`."""
        return UniformGrid.of(self._grid_name(), self.bits)

    def _grid_name(self) -> GridName:
        return self.grid or default_grid(self.bits)

    def _planes(self, count: int) -> Planes:
        return Planes(count, self.bits, reading_of(self._grid_name()))
