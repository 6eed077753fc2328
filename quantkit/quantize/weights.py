"""Weights on an integer grid: symmetric, one scale per output channel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

#: Symmetric int8: -128 stays unused, so that zero is exact and negation loses nothing.
INT8_LIMIT = 127


def quantize_int8(
    weight: FloatArray, axis: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Round to the nearest multiple of each channel's largest magnitude / 127.

    Args:
        weight: finite values of any shape.
        axis: dimension of the output channels.

    Returns:
        int8 of the same shape, and (channels,) scales; an all-zero channel has scale 1.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis % weight.ndim)
    largest = np.abs(weight).max(axis=others)
    scale = np.where(largest > 0, largest / INT8_LIMIT, 1.0).astype(np.float32)
    # A subnormal scale would round to a grid that cannot hold the weights.
    scale = np.maximum(scale, np.finfo(np.float32).tiny)
    shape = [1] * weight.ndim
    shape[axis % weight.ndim] = -1
    steps = np.rint(weight / scale.reshape(shape))
    return np.clip(steps, -INT8_LIMIT, INT8_LIMIT).astype(np.int8), scale
