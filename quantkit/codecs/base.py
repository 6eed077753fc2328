"""What a codec is: a float weight becomes packed tensors, and ONNX nodes rebuild it from them.

The nodes have constants only for input, so ONNX Runtime runs them once, while it loads the
session, and the kernel sees a plain int8 weight: the file holds 3 bits, the kernel runs on 8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from quantkit.arrays import FloatArray
from quantkit.codecs.feedback import SecondMoments

#: int8, or int16 for the codec of that name; the dtype is the one that the decoder gives.
Levels = npt.NDArray[Any]
Options = Mapping[str, int | str]

_BITS_OF_TYPE: dict[int, int] = {
    TensorProto.FLOAT: 32,
    TensorProto.FLOAT16: 16,
    TensorProto.INT64: 64,
    TensorProto.INT32: 32,
    TensorProto.INT16: 16,
    TensorProto.INT8: 8,
    TensorProto.UINT8: 8,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
}


@dataclass(frozen=True)
class Part:
    """One stored tensor, before there is one: its name within the weight, type and shape.

    Args:
        name: such as ``plane0``; unique within the weight.
        data_type: an ``onnx.TensorProto`` type.
        shape: in elements of that type.
    """

    name: str
    data_type: int
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """What its elements take in the file; sub-byte elements share bytes."""
        return (math.prod(self.shape) * _BITS_OF_TYPE[self.data_type] + 7) // 8


@dataclass(frozen=True)
class Packed:
    """One stored tensor: a :class:`Part` with its bytes, as ``TensorProto.raw_data`` holds them."""

    part: Part
    raw: bytes

    @classmethod
    def of(cls, name: str, values: npt.NDArray[Any]) -> Packed:
        """A tensor of whole-byte elements."""
        data_type = helper.np_dtype_to_tensor_dtype(values.dtype)
        little = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
        return cls(Part(name, data_type, tuple(values.shape)), little.tobytes())

    def to_tensor(self, name: str) -> onnx.TensorProto:
        """As an initializer called ``name``."""
        tensor = TensorProto(name=name, data_type=self.part.data_type, raw_data=self.raw)
        tensor.dims.extend(self.part.shape)
        return tensor


@dataclass(frozen=True)
class Weight:
    """A float weight as the kernel will read it.

    Args:
        values: finite, of any shape.
        axis: dimension of the output channels, not negative; each has one float scale.
        importance: mean square of the input that each weight is multiplied by, in any shape that
            broadcasts to that of ``values``; None where no audio was heard: all count the same.
        second_moments: E[x xᵀ] of the inputs that a channel's weights meet, in C order of the
            dimensions other than ``axis``; one matrix, or one for each group where the channels of
            a convolution lie in groups. None: each weight takes the nearest level;
            else rounding errors are made good by other weights.
        scale: (channels,) steps of evenly spaced levels that were found elsewhere; None: the codec
            finds its own. Codecs with tables have no use for it.
        channel_importance: (channels,) what a squared error in each output channel costs, in any
            unit; None where that is not known. Only ``tiered`` has use for it.
    """

    values: FloatArray
    axis: int
    importance: FloatArray | None = None
    second_moments: SecondMoments | None = None
    scale: FloatArray | None = None
    channel_importance: FloatArray | None = None


@dataclass(frozen=True)
class Encoded:
    """A weight on its grid, and what is stored of it.

    ``weight ≈ levels · scale``, with ``scale`` along ``axis``.

    Args:
        levels: exactly what the decoder's nodes give, in the weight's shape.
        scale: (channels,) float32, positive; stored beside the codec's tensors by whoever
            builds the graph, not by the codec.
        axis: dimension of the output channels.
        packed: the stored tensors, in the order of :meth:`Codec.parts`.
    """

    levels: Levels
    scale: FloatArray
    axis: int
    packed: tuple[Packed, ...]

    def dequantized(self) -> FloatArray:
        """``levels · scale`` in float32."""
        shape = [1] * self.levels.ndim
        shape[self.axis] = -1
        return self.levels.astype(np.float32) * self.scale.reshape(shape)


class Codec(Protocol):
    """One way to store a weight; holds its settings (bits, group size, …), no weights.

    A codec is deterministic: the same weight and settings give the same bytes.
    """

    @property
    def name(self) -> str:
        """As in plans, such as ``bitplane``."""

    @property
    def bits(self) -> float:
        """Per weight, tables and multipliers not counted; 1.6 for ternary."""

    @property
    def opset(self) -> int:
        """The lowest version of the standard operator set that its nodes need."""

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """The tensors that a weight of this shape will be stored in: its exact size, beforehand."""

    def encode(self, weight: Weight) -> Encoded:
        """Choose grid and levels, and pack them; ``packed`` fits :meth:`parts`."""

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Append nodes that rebuild ``levels``; returns the name of their value.

        Args:
            shape, axis: of the weight.
            names: initializer of each part, by :attr:`Part.name`.
            builder: receives nodes and constants.
        """


def stored_bytes(codec: Codec, shape: Sequence[int], axis: int) -> int:
    """Bytes that the packed tensors of such a weight take; the float scales come on top."""
    return sum(part.bytes for part in codec.parts(shape, axis))


def blank(codec: Codec, shape: Sequence[int], axis: int, seed: int) -> tuple[Packed, ...]:
    """Tensors of the right types and shapes with random bytes, to build a graph of exact size.

    Random, because equal tensors would be merged into one.
    """
    random = np.random.default_rng(seed)
    return tuple(Packed(part, random.bytes(part.bytes)) for part in codec.parts(shape, axis))


@dataclass
class DecodeBuilder:
    """Collects the nodes and constants of the decoders of one file.

    Args:
        prefix: what names of values begin with, and no others in the file.
        nodes: in topological order.
        constants: small tensors by name; those of :meth:`shared` are stored once for all weights.
    """

    prefix: str = ":"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    _count: int = 0

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output; returns the output's name."""
        self._count += 1
        # Short: with many layers, names are most of what the decoders take in the file. As long for
        # the first as for the last, so that a weight's decoder takes the same wherever it stands.
        output = f"{self.prefix}{self._count:04x}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def shared(self, key: str, value: npt.NDArray[Any] | np.generic) -> str:
        """A constant that does not depend on the weight; ``key`` must say all that it holds."""
        name = f"decode.{key}"
        if name not in self.constants:
            array = np.array(value, order="C")
            packed = Packed.of(name, array)
            self.constants[name] = packed.to_tensor(name)
        return name

    def vector(self, *values: int) -> str:
        """A shared int64 vector, such as a shape."""
        return self.shared(f"{list(values)}".replace(" ", ""), np.array(values, np.int64))
