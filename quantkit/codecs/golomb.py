"""Rice codes in ONNX: whole numbers, small ones more often, in few bits each.

A number n takes ⌊n / 2ˡ⌋ zeros, a one, and its l low bits. That is the code of Golomb ("Run-length
encodings", 1966) for powers of two (Rice, "Some practical universal noiseless coding techniques",
1979). It is the shortest prefix code of numbers whose probability falls geometrically (Gallager and
van Voorhis, "Optimal source codes for geometrically distributed integer alphabets", 1975), up to
the choice of the power.

The zeros and ones of all numbers are one row of bits, the low bits another. A zero at any place
adds 2ˡ to the number whose one comes next: the running count of the ones says which. So all numbers
are decoded at once by a cumulative sum and a scatter, and the shape of no node depends on them.

Intermediates in bytes: 14.5 for each bit of the row, and for each number 4, and up to 8 where there
are low bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from quantkit.codecs.base import DecodeBuilder, Packed, Part
from quantkit.codecs.symbols import Planes

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RiceCode:
    """``count`` numbers from 0 on.

    Args:
        count: how many.
        low_bits: l, 0 to 8.
        unary: bits of the row; those behind the last one are zeros.
    """

    count: int
    low_bits: int
    unary: int

    def lengths(self, numbers: Numbers) -> Numbers:
        """Bits of the row that each number takes."""
        found: Numbers = (numbers >> self.low_bits) + 1
        return found

    def parts(self) -> tuple[Part, ...]:
        """The row, then the planes of the low bits."""
        low = self._low().parts() if self.low_bits else ()
        return (*self._row().parts(), *low)

    def pack(self, numbers: Numbers) -> tuple[Packed, ...]:
        """Store ``count`` numbers, whose :meth:`lengths` add up to at most ``unary``."""
        bits = np.zeros(self.unary, np.uint8)
        bits[np.cumsum(self.lengths(numbers)) - 1] = 1
        row = self._row().pack(bits)
        if not self.low_bits:
            return row
        low = np.append(numbers & (1 << self.low_bits) - 1, 0)
        return row + self._low().pack(low)

    def unpack(self, names: Mapping[str, str], builder: DecodeBuilder) -> str:
        """Append the nodes that decode the numbers; returns an int32 value, (count,)."""
        axis, flat = builder.shared("axis0", np.int64(0)), builder.vector(-1)
        row = builder.add("Reshape", self._row().unpack(names, builder), flat)
        bits = builder.add("Cast", row, to=TensorProto.INT32)
        rank = builder.add("CumSum", bits, axis, exclusive=1)
        # Zeros after the last one end up behind all numbers.
        run = np.array([1 << self.low_bits, 0], np.int32)
        steps = builder.add("Gather", builder.shared(f"run{self.low_bits}", run), bits)
        if self.low_bits:
            low = builder.add("Reshape", self._low().unpack(names, builder), flat)
            low = builder.add("Cast", low, to=TensorProto.INT32)
        else:
            none = builder.shared("none32", np.zeros(1, np.int32))
            low = builder.add("Expand", none, builder.vector(self.count + 1))
        sums = builder.add("ScatterElements", low, rank, steps, axis=0, reduction="add")
        return builder.add("Slice", sums, builder.vector(0), builder.vector(self.count))

    def _row(self) -> Planes:
        return Planes(self.unary, 1, prefix="unary")

    def _low(self) -> Planes:
        """With one more, for the zeros after the last one."""
        return Planes(self.count + 1, self.low_bits, prefix="low")
