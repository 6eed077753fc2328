"""Factors moved from a layer's weight into what makes its input: the function stays the same.

Where a value ``x`` is proportional to constants, channel by channel, and only layers read it::

    W x = (W · diag(s)) · (diag(1/s) x),   s > 0

the layers' weights take the factors s and the constants 1/s. Which s helps is for the modules
``equalization`` and ``smoothing`` to say; here is where factors can be moved, and the moving.

A value's channels are made by

1. ``Conv``, ``MatMul`` and ``Gemm`` with a constant weight;
2. ``LayerNormalization`` over the last dimension: its scale and bias;
3. ``Mul`` by a constant with one number per channel.

They may pass through an ``Add`` of such a constant, which takes the factors, too, and through
what commutes with positive factors: ``Relu``, ``LeakyRelu``, ``Identity``, ``Dropout``,
``Transpose``, pooling, zero masks, products with one number, and attention, which averages the
channels of its values over time. All readers must be layers whose weights are their own. Whatever
else reads the value, such as a residual branch, rules it out; so does a constant that has another
reader, or an equal elsewhere in the graph: the two would no longer be stored as one, and the file
would grow.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from quantkit.arrays import Array, FloatArray
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import FRONTEND_PREFIX
from quantkit.graph.operators import affine, operator_of
from quantkit.graph.partition import captured
from quantkit.graph.tensors import set_raw_bytes, tensor_array
from quantkit.graph.zero_mask import is_zero_mask, mask_source
from quantkit.quantization.equalize.attention import attended_value
from quantkit.quantization.weights import placed

_HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "Identity", "Dropout"})
_POOLS = frozenset({"MaxPool", "AveragePool"})
_SHAPE_ONLY = frozenset({"Shape", "Size"})

# Of the largest: what is smaller counts as dead.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Magnitudes:
    """How large numbers are in each channel, (channels,) both."""

    maxima: FloatArray
    root_mean_squares: FloatArray

    def divided_by(self, factors: FloatArray) -> Magnitudes:
        """The same for numbers that the factors have divided."""
        return Magnitudes(self.maxima / factors, self.root_mean_squares / factors)


@dataclass(frozen=True)
class Junction:
    """Where factors can be moved.

    Args:
        maker: the node that makes the channels: a layer, a normalisation or a product.
        channels: their number.
        divided: initializers that are divided, each with its dimension of the channels; the
            maker's weight or scale is the first.
        readers: the layers whose weights are multiplied.
    """

    maker: onnx.NodeProto
    channels: int
    divided: tuple[tuple[str, int], ...]
    readers: tuple[onnx.NodeProto, ...]

    def values(self) -> dict[str, int]:
        """What the readers read: names, and the dimension of the channels in each."""
        found = ((str(n.input[0]), operator_of(n)) for n in self.readers)
        return {name: each.result_axis for name, each in found if each is not None}


def find_junctions(editor: GraphEditor, shared: Collection[str] = ()) -> list[Junction]:
    """All junctions of a graph, in the order of their makers.

    Args:
        shared: names of layers whose weight another layer has, too; see
            :func:`quantkit.quantization.tied_weights.shared_weights`. They are left alone.
    """
    finder = _Finder(editor, frozenset(shared))
    return [found for node in editor.nodes if (found := finder.junction(node)) is not None]


def move(editor: GraphEditor, junction: Junction, factors: FloatArray) -> None:
    """Multiply the readers' weights by ``factors`` and divide the maker by them, in place.

    The initializers of the model change at once; their names, types and shapes stay.

    Args:
        factors: (channels,), positive.
    """
    for name, axis in junction.divided:
        values = _float_array(editor, name)
        shape = [1] * values.ndim
        shape[axis] = -1
        _store(editor, name, values / factors.reshape(shape))
    for reader in junction.readers:
        values = _float_array(editor, reader.input[1])
        spread = placed(editor, reader).by_input(values.shape, factors)
        _store(editor, reader.input[1], values * cast(FloatArray, spread))


def input_magnitudes(editor: GraphEditor, junction: Junction) -> Magnitudes:
    """Of the readers' weights that meet each channel."""
    weights: list[FloatArray] = []
    for reader in junction.readers:
        weights.append(placed(editor, reader).operator.input_rows(editor, reader))
    together = np.concatenate(weights, axis=1)
    squares = np.square(together, dtype=np.float64).mean(axis=1)
    return Magnitudes(np.abs(together).max(axis=1), np.sqrt(squares).astype(np.float32))


def output_maxima(editor: GraphEditor, junction: Junction) -> FloatArray:
    """(channels,): the largest magnitude among the maker's weights that make a channel."""
    name, axis = junction.divided[0]
    weights = np.moveaxis(_float_array(editor, name), axis, 0)
    largest: FloatArray = np.abs(weights).reshape(junction.channels, -1).max(axis=1)
    return largest


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Element by element; positive throughout.

    Channels in which one of the two is nothing beside the others', as where a neuron has died in
    training, get the geometric mean of the rest.

    Args:
        numerator, denominator: (channels,), not negative.
    """
    live = (numerator > _NOTHING * numerator.max()) & (denominator > _NOTHING * denominator.max())
    if not live.any():
        return np.ones_like(numerator)
    logarithms = np.log(numerator, where=live, out=np.zeros(live.shape))
    logarithms -= np.log(denominator, where=live, out=np.zeros(live.shape))
    logarithms[~live] = logarithms[live].mean()
    return np.exp(logarithms).astype(np.float32)


@dataclass(frozen=True)
class _Made:
    """Channels of a value: their dimension, counted from the end, and what they are made of."""

    axis: int
    channels: int
    constants: list[tuple[str, int]]


@dataclass
class _Trace:
    """What lies between a maker and its readers."""

    channels: int
    divided: list[tuple[str, int]]
    readers: list[onnx.NodeProto] = field(default_factory=list)


class _Finder:
    def __init__(self, editor: GraphEditor, shared: frozenset[str]) -> None:
        self.editor, self.shared = editor, shared
        inner = {name for node in editor.nodes for name in captured(node)}
        self.closed = editor.outputs | inner
        self.reads = Counter(name for node in editor.nodes for name in node.input)
        self.reads.update(inner)
        self.alike = Counter(_form(tensor_array(tensor)) for tensor in editor.initializers.values())

    def junction(self, maker: onnx.NodeProto) -> Junction | None:
        made = self._made(maker)
        if made is None or self._is_foreign(maker):
            return None
        trace = _Trace(made.channels, made.constants)
        if not self._follow(str(maker.output[0]), made.axis, trace) or not trace.readers:
            return None
        own = [name for name, _ in trace.divided] + [str(n.input[1]) for n in trace.readers]
        if not all(self._is_own(name) for name in own):
            return None
        return Junction(maker, made.channels, tuple(trace.divided), tuple(trace.readers))

    def _made(self, node: onnx.NodeProto) -> _Made | None:
        if node.op_type == "Mul":
            return self._made_by_product(node)
        operator = operator_of(node)
        is_layer = operator is not None and operator.is_affine
        if not is_layer and node.op_type != "LayerNormalization":
            return None
        weight = self.editor.array(node.input[1])
        if weight is None:
            return None
        if operator is None:
            expected, of_weight = 1, 0
        else:
            expected = 2 if operator.is_product else weight.ndim
            of_weight = operator.channel_axis(self.editor, node, weight.ndim)
        if weight.ndim != expected:
            return None
        channels = weight.shape[of_weight]
        constants = [(str(node.input[1]), of_weight)]
        if len(node.input) > 2 and node.input[2]:
            bias = self.editor.array(node.input[2])
            if bias is None or bias.size != channels or bias.shape[-1] != channels:
                return None
            constants.append((str(node.input[2]), bias.ndim - 1))
        over_positions = operator is not None and operator.result_axis == 1
        axis = 1 - weight.ndim if over_positions else -1
        return _Made(axis, channels, constants)

    def _made_by_product(self, node: onnx.NodeProto) -> _Made | None:
        for name in node.input:
            values = self.editor.array(name)
            if values is not None and values.size > 1 and values.size == max(values.shape):
                axis = values.shape.index(values.size)
                return _Made(axis - values.ndim, values.size, [(str(name), axis)])
        return None

    def _follow(self, value: str, axis: int, trace: _Trace) -> bool:
        """Whether factors on the channels of ``value`` reach layers only."""
        if value in self.closed:
            return False
        for user in self.editor.consumers.get(value, []):
            if user.op_type in _SHAPE_ONLY:
                continue
            if user.op_type in affine():
                if not self._is_reader(user, value, axis, trace.channels):
                    return False
                trace.readers.append(user)
                continue
            passed = self._passed(user, value, axis, trace)
            if passed is None or not self._follow(*passed, trace):
                return False
        return True

    def _is_reader(self, node: onnx.NodeProto, value: str, axis: int, channels: int) -> bool:
        weight = self.editor.array(node.input[1])
        if weight is None or list(node.input).count(value) > 1 or self._is_foreign(node):
            return False
        operator = placed(self.editor, node).operator
        expected = 1 - weight.ndim if operator.result_axis == 1 else -1
        return axis == expected and operator.scalable_inputs(self.editor, node) == channels

    def _passed(
        self, node: onnx.NodeProto, value: str, axis: int, trace: _Trace
    ) -> tuple[str, int] | None:
        """The result of ``node`` that has the channels of ``value``, and their dimension there."""
        output, attributes = str(node.output[0]), self.editor.attributes(node)
        if node.op_type in _HOMOGENEOUS:
            return output, axis
        if node.op_type in _POOLS:
            return (output, axis) if axis == -1 - len(attributes["kernel_shape"]) else None
        if node.op_type == "Transpose" and "perm" in attributes:
            order = list(attributes["perm"])
            return output, order.index(axis + len(order)) - len(order)
        if is_zero_mask(self.editor, node):
            return (output, axis) if mask_source(self.editor, node) == value else None
        if node.op_type == "Reshape" and axis == -1:
            merged = attended_value(self.editor, node, trace.channels)
            return None if merged is None else (merged, -1)
        if node.op_type in ("Add", "Mul", "Div") and node.input[0] != node.input[1]:
            other = str(node.input[1] if node.input[0] == value else node.input[0])
            constant = self.editor.array(other)
            if constant is None:
                return None
            if node.op_type == "Add" and constant.ndim >= -axis:
                trace.divided.append((other, constant.ndim + axis))
                return (output, axis) if constant.shape[axis] == trace.channels else None
            if constant.size == 1 and (node.op_type == "Mul" or node.input[0] == value):
                return output, axis
        return None

    def _is_foreign(self, node: onnx.NodeProto) -> bool:
        """Whether the constants of ``node`` are not a layer's alone."""
        return node.name in self.shared or node.name.startswith(FRONTEND_PREFIX)

    def _is_own(self, name: str) -> bool:
        """Whether the initializer ``name`` can change alone, and the file stay as large."""
        tensor = self.editor.initializers.get(name)
        if tensor is None or tensor.data_type != TensorProto.FLOAT:
            return False
        values = tensor_array(tensor)
        # Zeros stay zero for all readers.
        if not values.any():
            return True
        if self.reads[name] > 1 or name in self.closed:
            return False
        return sum(self.alike[form] for form in {_form(values), _form(values.T)}) == 1


def _form(values: Array) -> tuple[tuple[int, ...], bytes]:
    """The same for tensors of the same numbers."""
    return values.shape, hashlib.sha256(np.ascontiguousarray(values).data).digest()


def _float_array(editor: GraphEditor, name: str) -> FloatArray:
    return cast(FloatArray, tensor_array(editor.initializers[name]))


def _store(editor: GraphEditor, name: str, values: FloatArray) -> None:
    tensor = editor.initializers[name]
    set_raw_bytes(tensor, numpy_helper.from_array(values.astype(np.float32)).raw_data)
