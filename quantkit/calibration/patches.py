"""The inputs that each output value of a layer is a sum over, as rows (im2col)."""

from __future__ import annotations

import math

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.graph.operators import Geometry


def windows(values: FloatArray, geometry: Geometry) -> FloatArray:
    """A view of the inputs of each output value; only the padding is copied.

    Returns:
        (batch, positions by dimension …, groups, input channels of a group, taps by dimension …)
        for convolutions, else (rows, 1, inputs); of recurrent weights (rows, directions, inputs).
    """
    if geometry.steps:
        return _states(values, geometry)
    if not geometry.kernel:
        moved = np.moveaxis(values, geometry.axis, -1)
        return moved.reshape(-1, 1, geometry.inputs)
    padding = geometry.padding_of(values.shape[2:])
    padded = np.pad(values, ((0, 0), (0, 0), *padding)) if any(map(any, padding)) else values
    dimensions = len(geometry.kernel)
    spatial = tuple(range(2, 2 + dimensions))
    spans = tuple(reach + 1 for reach in geometry.reach)
    every = np.lib.stride_tricks.sliding_window_view(padded, spans, spatial)
    strides = tuple(slice(None, None, stride) for stride in geometry.strides)
    taps = tuple(slice(None, None, dilation) for dilation in geometry.dilations)
    taken = every[(slice(None), slice(None), *strides, *taps)]
    channels_last = np.moveaxis(taken, 1, 1 + dimensions)
    grouped = channels_last.shape[: 1 + dimensions]
    # Splitting one dimension of a view copies nothing.
    return channels_last.reshape(
        *grouped, geometry.groups, values.shape[1] // geometry.groups, *geometry.kernel
    )


def _states(values: FloatArray, geometry: Geometry) -> FloatArray:
    """The states that the steps of a recurrent layer begin with, (rows, directions, inputs).

    In no order: rows of the two directions that stand side by side are not of one step.

    Args:
        values: the state after each step, (time, directions, batch, inputs).
    """
    frames = len(values)
    found = []
    for direction, step in enumerate(geometry.steps):
        after = values[:, direction]
        before = after[: frames - 1] if step > 0 else after[1:]
        if geometry.from_zero:
            before = np.concatenate([np.zeros_like(after[:1]), before])
        found.append(before.reshape(-1, geometry.inputs))
    return np.stack(found, axis=1)


def patches(values: FloatArray, geometry: Geometry) -> FloatArray:
    """The inputs of each output value.

    Args:
        values: the activation called :attr:`Geometry.value`.

    Returns:
        (rows, inputs), or (rows, groups, inputs) for grouped convolutions; rows are the output
        values of one channel in C order, inputs in C order of the weight's dimensions other than
        that of the output channels.
    """
    seen = windows(values, geometry)
    rows = math.prod(seen.shape[: 1 + len(geometry.kernel)])
    found = np.ascontiguousarray(seen.reshape(rows, geometry.groups, geometry.inputs))
    return found[:, 0] if geometry.groups == 1 else found
