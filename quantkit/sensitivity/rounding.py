"""Activations on the grid that an integer layer would round them to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from quantkit.calibration.ranges import Range
from quantkit.graph.plan import Compute
from quantkit.quantization.kernels.activations import static_grid


def on_grid(values: npt.NDArray[Any], bounds: Range, bits: int) -> npt.NDArray[np.float32]:
    """``values`` on the asymmetric grid of ``bits`` bits over ``bounds``, beyond it at its ends."""
    scale, zero_point = static_grid(bounds, bits)
    steps = np.rint(values / scale)
    np.clip(steps, np.float32(-zero_point), np.float32(2**bits - 1 - zero_point), out=steps)
    rounded: npt.NDArray[np.float32] = steps * scale
    return rounded


def on_own_grids(values: npt.NDArray[Any], bits: int) -> npt.NDArray[np.float32]:
    """Each row of the last dimension on the grid over its own values.

    That is what a decoder's layer does at run time, where it sees one token at a time.
    """
    rows = values.reshape(-1, values.shape[-1])
    rounded = [on_grid(row, bounds_of(row), bits) for row in rows]
    return np.array(rounded, np.float32).reshape(values.shape)


def rounding(
    compute: Compute, bits: int, calibrated: Range | None, *, by_token: bool = False
) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """What an integer kernel does to its input.

    Args:
        calibrated: range of a static kernel, which others do not need.
        by_token: whether a range that is found at run time is that of one token.
    """

    def rounded(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if compute == "static":
            assert calibrated is not None, "a static kernel has a calibrated range"
            return on_grid(values, calibrated, bits)
        return on_own_grids(values, bits) if by_token else on_grid(values, bounds_of(values), bits)

    return rounded


def bounds_of(values: npt.NDArray[Any]) -> Range:
    """What a grid that is found at run time spans."""
    if not values.size:
        return Range(0.0, 0.0)
    return Range(min(0.0, float(values.min())), max(0.0, float(values.max())))
