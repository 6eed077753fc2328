"""A weight as groups of equal size, worked on a few channels at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.codecs.base import Weight
from quantkit.codecs.channels import channels_first
from quantkit.codecs.kmeans import Float64Array

#: Weights worked on at a time: their intermediate values for all tables stay in cache.
BLOCK = 1 << 15
#: Lower bound of importance, as a share of its mean: users may say what calibration did not
#: contain.
_LEAST_IMPORTANCE = 1e-3


@dataclass(frozen=True)
class WeightGroups:
    """A weight as groups of equal size; padding is 0 and has no importance.

    Args:
        values: (channels, groups of a channel · group size).
        importance: the same, or (1, …) where it is the same for all channels; 1 on average.
        size: of a group.
    """

    values: FloatArray
    importance: FloatArray
    size: int

    @classmethod
    def of(cls, weight: Weight, size: int | None) -> WeightGroups:
        """Of ``size`` weights, or of a whole channel each."""
        shape = channels_first(weight.values.shape, weight.axis)
        values = np.moveaxis(weight.values, weight.axis, 0).reshape(shape[0], math.prod(shape[1:]))
        if size is None:
            size = max(values.shape[1], 1)
        filling = [(0, 0), (0, -values.shape[1] % size)]
        importance = np.ones((1, values.shape[1]), np.float32)
        if weight.importance is not None:
            missing = weight.values.ndim - weight.importance.ndim
            given = weight.importance.reshape((1,) * missing + weight.importance.shape)
            wanted = list(weight.values.shape)
            wanted[weight.axis] = given.shape[weight.axis]
            given = np.moveaxis(np.broadcast_to(given, wanted), weight.axis, 0)
            given = given.reshape(len(given), values.shape[1])
            mean = given.mean(dtype=np.float64) if given.size else 0
            if mean > 0:
                importance = np.maximum(given / mean, _LEAST_IMPORTANCE).astype(np.float32)
        return cls(np.pad(values, filling), np.pad(importance, filling), size)

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Some channels at a time: which, their values, and importance in the same shape.

        Args:
            size: about how many weights at a time.
        """
        channels, inputs = self.values.shape
        some = max(size // max(inputs, 1), 1)
        for start in range(0, channels, some):
            block = slice(start, min(start + some, channels))
            values = self.values[block]
            importance = self.importance if len(self.importance) == 1 else self.importance[block]
            yield block, values, np.broadcast_to(importance, values.shape)

    def root_mean_squares(self) -> Float64Array:
        """Of each channel, weighted by importance; (channels,), 0 for channels of zeros."""
        found = np.zeros(len(self.values))
        for block, values, importance in self.blocks():
            largest = np.abs(values).max(axis=1, initial=0).astype(np.float64)
            # So that squares neither overflow nor underflow, whatever the magnitude.
            shares = values / np.where(largest > 0, largest, 1)[:, None].astype(np.float32)
            mean = np.einsum("ci,ci,ci->c", shares, shares, importance, dtype=np.float64)
            found[block] = largest * np.sqrt(mean / np.maximum(importance.sum(axis=1), 1e-30))
        return found

    def sample(self, units: Float64Array, limit: int) -> tuple[FloatArray, FloatArray]:
        """Every n-th group: its values in units of its channel, and the weights of their errors.

        At most about ``limit`` weights, spread evenly over the positions of a channel.

        Returns:
            Both (groups, group size).
        """
        per_channel = self.values.shape[1] // self.size
        total = len(self.values) * per_channel
        step = max(total * self.size // limit, 1)
        # A step that divides the channel length would sample the same positions of each channel.
        while math.gcd(step, per_channel) > 1:
            step += 1
        every = np.arange(0, total, step)
        channel, place = np.divmod(every, max(per_channel, 1))
        values = self.values.reshape(len(self.values), per_channel, self.size)[channel, place]
        rows = channel if len(self.importance) > 1 else np.zeros_like(channel)
        importance = self.importance.reshape(len(self.importance), per_channel, self.size)[
            rows, place
        ]
        unit = units[channel, None]
        alive = unit > 0
        largest = units.max(initial=0) or 1.0
        return (
            np.where(alive, values / np.where(alive, unit, 1), 0).astype(np.float32),
            (importance * (unit / largest) ** 2).astype(np.float32),
        )
