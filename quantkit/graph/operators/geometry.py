"""What a weight is multiplied by: the windows of a convolution, the rows of a product."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Geometry:
    """How a layer's weight meets its input.

    Args:
        value: name of the activation that the weight is multiplied by.
        inputs: weights of one output channel.
        groups: of channels that meet different inputs; 1 for all but grouped convolutions and the
            recurrent weights of both directions.
        axis: of the inputs in the activation; 1 for a convolution's channels.
        kernel: taps of a convolution by dimension; empty for matrix products.
        strides, dilations: likewise.
        padding: zeros before and after, likewise; None where ``auto_pad`` keeps the output as long
            as the input, divided by the stride.
        odd_after: where ``auto_pad`` adds an odd number of zeros, one more after than before.
        steps: of a recurrent weight, how far behind a result (time, directions, batch, hidden) the
            state lies that the weight meets, by direction: 1, or -1 for one that runs backwards.
            Empty for all others.
        from_zero: whether the state before the first step is zero.
        first: name of the value that has it, (directions, batch, hidden), where it is handed in at
            run time, as a predictor's is from label to label; empty for all others.
    """

    value: str
    inputs: int
    groups: int = 1
    axis: int = -1
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] | None = ()
    odd_after: bool = True
    steps: tuple[int, ...] = ()
    from_zero: bool = True
    first: str = ""

    @property
    def is_over_time(self) -> bool:
        """Whether taps lie along one dimension, as in convolutions over time."""
        return len(self.kernel) == 1

    @classmethod
    def of_convolution(
        cls, value: str, shape: tuple[int, ...], attributes: dict[str, Any]
    ) -> Geometry:
        """Of a ``Conv`` by its weight's shape and its attributes."""
        kernel = shape[2:]
        ones = (1,) * len(kernel)
        pads = list(attributes.get("pads", [0] * 2 * len(kernel)))
        padding: tuple[tuple[int, int], ...] | None
        padding = tuple(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True))
        automatic = attributes.get("auto_pad", b"NOTSET")
        if automatic == b"VALID":
            padding = tuple((0, 0) for _ in kernel)
        elif automatic != b"NOTSET":
            padding = None
        return cls(
            value,
            math.prod(shape[1:]),
            groups=int(attributes.get("group", 1)),
            axis=1,
            kernel=kernel,
            strides=tuple(attributes.get("strides", ones)),
            dilations=tuple(attributes.get("dilations", ones)),
            padding=padding,
            odd_after=automatic != b"SAME_LOWER",
        )

    @property
    def reach(self) -> tuple[int, ...]:
        """Distance between a kernel's first and last tap, by dimension."""
        return tuple((k - 1) * d for k, d in zip(self.kernel, self.dilations, strict=True))

    def padding_of(self, sizes: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Zeros before and after an input of these sizes, by dimension of the kernel."""
        if self.padding is not None:
            return self.padding
        amounts = []
        for size, stride, reach in zip(sizes, self.strides, self.reach, strict=True):
            total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
            less, more = total // 2, total - total // 2
            amounts.append((less, more) if self.odd_after else (more, less))
        return tuple(amounts)
