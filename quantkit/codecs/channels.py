"""Weights as matrices with a row for each output channel, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from quantkit.codecs.base import DecodeBuilder, Weight
from quantkit.codecs.symbols import reshaped


def channels_first(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    """``shape`` with dimension ``axis`` moved to the front."""
    return (shape[axis], *shape[:axis], *shape[axis + 1 :])


def inputs_of(shape: Sequence[int], axis: int) -> int:
    """How many weights each channel of dimension ``axis`` has."""
    return prod(channels_first(shape, axis)[1:])


def from_rows(rows: npt.NDArray[Any], shape: Sequence[int], axis: int) -> npt.NDArray[Any]:
    """The weight of ``shape`` whose channels are the rows.

    Args:
        rows: (channels, at least as many as a channel has weights); the excess is dropped.
    """
    moved = channels_first(shape, axis)
    values = rows[:, : prod(moved[1:])].reshape(moved)
    return np.ascontiguousarray(np.moveaxis(values, 0, axis))


def to_rows(values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """A weight as (channels, inputs), the inverse of :func:`from_rows`."""
    moved = channels_first(values.shape, axis)
    return np.moveaxis(values, axis, 0).reshape(moved[0], prod(moved[1:]))


def as_rows(weight: Weight) -> Weight:
    """The same weight as (channels, inputs)."""
    importance = weight.importance
    if importance is not None:
        missing = weight.values.ndim - importance.ndim
        importance = importance.reshape((1,) * missing + importance.shape)
        shape = list(weight.values.shape)
        # One row if it is the same for all channels.
        shape[weight.axis] = importance.shape[weight.axis]
        importance = to_rows(np.broadcast_to(importance, shape), weight.axis)
    values = to_rows(weight.values, weight.axis)
    return replace(weight, values=values, axis=0, importance=importance)


def nodes_from_rows(
    value: str, length: int, shape: Sequence[int], axis: int, builder: DecodeBuilder
) -> str:
    """Append nodes that compute :func:`from_rows`.

    Args:
        value: of any shape; its elements are, in C order, those of (channels, ``length``).
    """
    moved = channels_first(shape, axis)
    channels, inputs = moved[0], prod(moved[1:])
    if inputs < length:
        value = builder.add("Reshape", value, builder.vector(channels, length))
        ends = (builder.vector(0), builder.vector(inputs), builder.vector(1))
        value = builder.add("Slice", value, *ends)
    value = reshaped(value, channels * inputs, moved, builder)
    if axis == 0:
        return value
    back = [*range(1, axis + 1), 0, *range(axis + 1, len(shape))]
    return builder.add("Transpose", value, perm=back)
