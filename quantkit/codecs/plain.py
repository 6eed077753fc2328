"""Weights stored as one tensor of whole bytes: nothing to unpack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from onnx import TensorProto

from quantkit.arrays import FloatArray
from quantkit.codecs.base import DecodeBuilder, Encoded, Levels, Packed, Part, Weight
from quantkit.codecs.uniform import UniformGrid, fit_uniform
from quantkit.codecs.uniform_rounding import round_uniform

_HALF = np.finfo(np.float16)


class _Plain:
    """Base of the codecs of this module: one tensor in the weight's shape."""

    opset: ClassVar[int] = 1
    _data_type: ClassVar[int]

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """The weight itself."""
        return (Part("weight", self._data_type, tuple(shape)),)

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Appends nothing: the stored tensor is the value."""
        return names["weight"]


@dataclass(frozen=True)
class Int8(_Plain):
    """Levels from −127 to 127, with each channel's scale searched.

    The nearest levels, without compensation: rounding activations to 8 bits costs more than
    compensation could gain here. Where the weight has a ``largest_level``, as with fewer bits,
    compensation gains what half the levels cost, and its first round most of that.
    """

    name: ClassVar[str] = "int8"
    bits: ClassVar[int] = 8
    _data_type = TensorProto.INT8

    @property
    def spacing(self) -> UniformGrid:
        """See :class:`~quantkit.codecs.uniform.EvenlySpaced`."""
        return UniformGrid(-127, 127)

    def encode(self, weight: Weight) -> Encoded:
        """See :func:`fit_uniform` and :func:`round_uniform`."""
        if weight.largest_level is None:
            return _on_grid(weight, self.spacing)
        levels, scale = round_uniform(weight, self.spacing, once=True)
        return Encoded(levels, scale, weight.axis, (Packed.of("weight", levels),))


@dataclass(frozen=True)
class Int16(_Plain):
    """Levels from −32767 to 32767, with each channel's scale searched."""

    name: ClassVar[str] = "int16"
    bits: ClassVar[int] = 16
    _data_type = TensorProto.INT16

    @property
    def spacing(self) -> UniformGrid:
        """See :class:`~quantkit.codecs.uniform.EvenlySpaced`."""
        return UniformGrid(-32767, 32767)

    def encode(self, weight: Weight) -> Encoded:
        """See :func:`fit_uniform`."""
        return _on_grid(weight, self.spacing)


@dataclass(frozen=True)
class Float32(_Plain):
    """The weight unchanged: the levels are its values, the scales 1."""

    name: ClassVar[str] = "float32"
    bits: ClassVar[int] = 32
    _data_type = TensorProto.FLOAT

    def encode(self, weight: Weight) -> Encoded:
        """Nothing to choose, and no error."""
        return _as_floats(
            weight, weight.values, np.ones(weight.values.shape[weight.axis], np.float32)
        )


@dataclass(frozen=True)
class Float16(_Plain):
    """Half precision; the levels are the rounded values, as float32.

    The scales are 1, except for a channel whose largest weight is outside half precision's normal
    numbers (2⁻¹⁴ to 65504). It is multiplied by the power of two that brings its largest weight
    into [½, 1), so no weight overflows and no channel underflows.
    """

    name: ClassVar[str] = "float16"
    bits: ClassVar[int] = 16
    opset: ClassVar[int] = 13
    _data_type = TensorProto.FLOAT16

    def encode(self, weight: Weight) -> Encoded:
        """Round to the nearest."""
        by_channel = np.moveaxis(weight.values, weight.axis, 0)
        largest = np.abs(by_channel).max(axis=tuple(range(1, by_channel.ndim)), initial=0)
        fits = (largest == 0) | ((largest >= _HALF.smallest_normal) & (largest <= _HALF.max))
        # Not 2¹²⁸ nor below 2⁻¹²⁶, which float32 does not have as a normal number.
        exponents = np.clip(np.frexp(largest)[1], -126, 127)
        scale = np.where(fits, 1.0, np.ldexp(1.0, exponents))
        column = scale.reshape(-1, *[1] * (by_channel.ndim - 1))
        halves = np.moveaxis((by_channel / column).astype(np.float16), 0, weight.axis)
        return _as_floats(weight, halves, scale.astype(np.float32))

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Widen to float32."""
        return builder.add("Cast", names["weight"], to=TensorProto.FLOAT)


def _on_grid(weight: Weight, grid: UniformGrid) -> Encoded:
    levels, scale = fit_uniform(weight, grid)
    return Encoded(levels, scale, weight.axis, (Packed.of("weight", levels),))


def _as_floats(weight: Weight, stored: Levels, scale: FloatArray) -> Encoded:
    return Encoded(
        stored.astype(np.float32),
        scale,
        weight.axis,
        (Packed.of("weight", stored),),
    )
