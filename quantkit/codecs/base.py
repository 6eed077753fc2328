"""The codec interface: a float weight becomes packed tensors, and ONNX nodes rebuild it from them.

The nodes have only constant inputs, so ONNX Runtime folds them while it loads the session, and the
kernel gets a plain int8 weight: 3 bits in the file, 8 in the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from quantkit.arrays import FloatArray
from quantkit.codecs.feedback import SecondMoments

#: int8, or int16 for the codec of that name; the dtype of the decoder's result.
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
    """Description of a stored tensor: its name within the weight, type and shape.

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
        """Bytes of its elements in the file; sub-byte elements share bytes."""
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
    """A float weight in the layout that the kernel reads.

    Args:
        values: finite, of any shape.
        axis: dimension of the output channels, not negative; each has one float scale.
        importance: mean square of the input that each weight is multiplied by, in any shape that
            broadcasts to that of ``values``; None without calibration: all count the same.
        second_moments: E[x xᵀ] of the inputs of a channel, in C order of the dimensions other than
            ``axis``; one matrix, or one for each group of a grouped convolution. None: each weight
            is rounded to the nearest level; else rounding errors are compensated by other weights.
        scale: (channels,) given steps of evenly spaced levels, and of levels that stand fixed;
            None: the codec searches them. Codecs with tables of their own ignore it unless
            ``tables`` is given, too.
        largest_level: no level may be further from zero, because the kernel would overflow; None:
            as far as the codec's own levels go.
        channel_importance: (channels,) what a squared error in each output channel costs, in any
            unit; None if unknown. Only ``tiered`` uses it.
        for_estimate: only the size of the error matters, and not the levels. Then compensated
            rounding is done once, which takes a third of the time, and tables are learned in fewer
            rounds.
        tables: (tables, levels) int8, given tables, each ascending; None: the codec learns them.
            Ignored by codecs without tables. Needs ``scale``.
    """

    values: FloatArray
    axis: int
    importance: FloatArray | None = None
    second_moments: SecondMoments | None = None
    scale: FloatArray | None = None
    largest_level: int | None = None
    channel_importance: FloatArray | None = None
    for_estimate: bool = False
    tables: Levels | None = None


@dataclass(frozen=True)
class Encoded:
    """A weight on its grid, and its stored tensors.

    ``weight ≈ levels · scale``, with ``scale`` along ``axis``.

    Args:
        levels: exactly the result of the decoder's nodes, in the weight's shape.
        scale: (channels,) float32, positive; stored beside the codec's tensors by the code that
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
    """One way to store a weight; an instance holds settings (bits, group size, …), not weights.

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
        """The tensors that store a weight of this shape, which give its exact size in advance."""

    def encode(self, weight: Weight) -> Encoded:
        """Choose grid and levels, and pack them; ``packed`` corresponds to :meth:`parts`."""

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Append nodes that rebuild ``levels``; returns the name of the resulting value.

        Args:
            shape, axis: of the weight.
            names: initializer of each part, by :attr:`Part.name`.
            builder: receives nodes and constants.
        """


@runtime_checkable
class Selective(Protocol):
    """A codec whose decoder fails on some bytes."""

    def blank(self, shape: Sequence[int], axis: int, seed: int) -> tuple[Packed, ...]:
        """Some weight of this shape as it is stored, with random content."""


def stored_bytes(codec: Codec, shape: Sequence[int], axis: int) -> int:
    """Bytes of the packed tensors of such a weight, without its float scales."""
    return sum(part.bytes for part in codec.parts(shape, axis))


def blank(codec: Codec, shape: Sequence[int], axis: int, seed: int) -> tuple[Packed, ...]:
    """Tensors of the right types and shapes with random bytes, to build a graph of exact size.

    Random, because equal tensors would be merged into one.
    """
    if isinstance(codec, Selective):
        return codec.blank(shape, axis, seed)
    random = np.random.default_rng(seed)
    return tuple(Packed(part, random.bytes(part.bytes)) for part in codec.parts(shape, axis))


@dataclass
class DecodeBuilder:
    """Collects the nodes and constants of the decoders of one file.

    Args:
        prefix: of value names; no other name in the file may begin with it.
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
        # Short: with many layers, names are most of the decoders' bytes in the file. Of fixed
        # length, so that a decoder's size does not depend on its position.
        output = f"{self.prefix}{self._count:04x}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def shared(self, key: str, value: npt.NDArray[Any] | np.generic) -> str:
        """A constant that does not depend on the weight; ``key`` must identify its content."""
        name = f"decode.{key}"
        if name not in self.constants:
            array = np.array(value, order="C")
            packed = Packed.of(name, array)
            self.constants[name] = packed.to_tensor(name)
        return name

    def vector(self, *values: int) -> str:
        """A shared int64 vector, such as a shape."""
        return self.shared(f"{list(values)}".replace(" ", ""), np.array(values, np.int64))
