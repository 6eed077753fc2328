"""The weight and the bias that each kind of kernel reads in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from quantkit.arrays import Array, FloatArray
from quantkit.calibration.ranges import StoredGrid
from quantkit.errors import ModelError
from quantkit.graph.layers import FoundLayer
from quantkit.graph.operators import operator_of
from quantkit.graph.partition import PartitionedGraph, ValueType
from quantkit.graph.tensors import embed
from quantkit.quantization.stored.grids import (
    InputGrid,
    float_input,
    grid_of,
    integer_input,
    output_grid,
)
from quantkit.quantization.stored.places import Places
from quantkit.runtime.folding import computed

# What follows rows that were looked up until they are float32.
_BEHIND_ROWS = frozenset({"Cast", "Mul", "Slice"})
_ROWS = "quantkit.rows"


@dataclass(frozen=True)
class Read:
    """What a kernel reads; see :class:`~quantkit.quantization.stored.form.StoredForm`."""

    weight: FloatArray
    axis: int | None
    activation: InputGrid
    bias: FloatArray | None = None
    output_grid: StoredGrid | None = None


@dataclass(frozen=True)
class _Operands:
    """Positions of a kernel's inputs; None where it has none such.

    Args:
        scale, zero_point, bias: of the weight, and beside it.
        result: scale of the result, before its zero point.
        is_matrix: whether the weight is (inputs, outputs), and not (outputs, inputs, taps …).
        activation: scale of the input, before its zero point; None where it is found on the way.
    """

    scale: int | None
    zero_point: int
    bias: int | None = None
    result: int | None = None
    is_matrix: bool = True
    activation: int | None = None


#: Integer kernels. Where there is no scale, the product is multiplied by it afterwards.
_INTEGER = {
    "ConvInteger": _Operands(None, 3, is_matrix=False),
    "MatMulInteger": _Operands(None, 3),
    "MatMulIntegerToFloat": _Operands(3, 5, bias=6),
    "DynamicQuantizeMatMul": _Operands(2, 3, bias=4),
    "QLinearConv": _Operands(4, 5, bias=8, result=6, is_matrix=False, activation=1),
    "QLinearMatMul": _Operands(4, 5, result=6, activation=1),
    "QGemm": _Operands(4, 5, bias=6, result=7, activation=1),
}


def read_layer(model: onnx.ModelProto, places: Places, found: FoundLayer) -> Read:
    """What the kernel of ``found`` reads.

    Args:
        places: of the graph that it stands in.

    Raises:
        ModelError: its weight is in a form that is not known.
    """
    node = found.node
    operator = operator_of(node)
    if operator is not None and operator.is_lookup:
        return Read(_rows(model, places, node), None, InputGrid("float32"))
    if operator is not None:
        return _float_kernel(places, found)
    if node.op_type in _INTEGER:
        return _integer_kernel(places, found, _INTEGER[node.op_type])
    known: dict[str, Callable[[], Read]] = {
        "MatMulNBits": lambda: _blocks(places, node),
        "GatherBlockQuantized": lambda: Read(
            _rows(model, places, node), None, InputGrid("float32")
        ),
        "DynamicQuantizeLSTM": lambda: _recurrent(places, found),
    }
    if node.op_type not in known:
        raise ModelError(f"{node.op_type} is not known")
    return known[node.op_type]()


def _float_kernel(places: Places, found: FoundLayer) -> Read:
    node, layer = found.node, found.layer.name
    operator = operator_of(node)
    assert operator is not None, "a float kernel is of an operator"
    position = next(p for p in found.slot.positions if _reads(places, node, p))
    value = str(node.input[position])
    dequantize = _dequantizer(places, value, layer)
    # Cut, or filled up, for the kernel: the file's own lies before that.
    weight = _dequantized(places, dequantize, layer) if dequantize else places.floats(value)
    axis = None
    if weight.ndim == 2 and operator.is_product:
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        axis = 0 if transposed or position == 0 else 1
    data = next((n for n in node.input[:2] if n and not places.is_constant(n)), "")
    linear = operator.is_linear
    return Read(
        weight,
        axis,
        float_input(places, str(data)) if linear else InputGrid("float32"),
        _own_bias(places, node, layer) if linear else None,
        output_grid(places, str(node.output[0])),
    )


def _reads(places: Places, node: onnx.NodeProto, position: int) -> bool:
    return position < len(node.input) and places.is_constant(str(node.input[position]))


def _dequantizer(places: Places, value: str, layer: str) -> onnx.NodeProto | None:
    """What makes floats of the levels of ``layer``, where it is one of the layer's own nodes."""
    node = places.producers.get(value)
    own = node is not None and node.name.startswith(f"{layer}/")
    return node if node is not None and own and node.op_type == "DequantizeLinear" else None


def _dequantized(places: Places, node: onnx.NodeProto, layer: str) -> FloatArray:
    levels, scale, *zeros = (places.array(places.whole(str(n), layer)) for n in node.input)
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    return _scaled(levels, scale.astype(np.float32), zeros[0] if zeros else None, axis)


def _own_bias(places: Places, node: onnx.NodeProto, layer: str) -> FloatArray | None:
    """Of the node itself, of all that compute parts of the layer, or behind it."""
    operator = operator_of(node)
    position = None if operator is None else operator.bias_input
    if position is None:
        return places.added(node)
    parts = [
        each
        for each in places.nodes
        if each.op_type == node.op_type and (each is node or each.name.startswith(f"{layer}/"))
    ]
    biases = [places.optional(each, position) for each in parts]
    known = [each.astype(np.float32).reshape(-1) for each in biases if each is not None]
    return np.concatenate(known) if known and len(known) == len(parts) else None


def _integer_kernel(places: Places, found: FoundLayer, operands: _Operands) -> Read:
    node = found.node
    levels = places.array(found.value)
    if operands.activation is None:
        activation = integer_input(places, str(node.input[0]))
    else:
        scale, zero_point = node.input[operands.activation : operands.activation + 2]
        activation = InputGrid("static", grid_of(places, str(scale), str(zero_point)), str(scale))
    if node.op_type == "DynamicQuantizeMatMul":
        activation = InputGrid("dynamic")
    if operands.scale is None:
        scales = places.factors(node, activation.scale)
    else:
        scales = places.floats(str(node.input[operands.scale]))
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    axis = levels.ndim - 1 if operands.is_matrix and not transposed else 0
    zero = places.optional(node, operands.zero_point)
    weight = _scaled(levels, scales, zero, axis)
    bias = places.optional(node, operands.bias) if operands.bias is not None else None
    if bias is not None and bias.dtype.kind == "i":
        step = places.floats(activation.scale) * scales.reshape(-1)
        bias = bias.astype(np.float32) * step
    result = None
    if operands.result is not None:
        step, zero_of_result = node.input[operands.result : operands.result + 2]
        result = grid_of(places, str(step), str(zero_of_result))
    return Read(
        weight,
        axis if operands.is_matrix else None,
        activation,
        places.added(node) if operands.bias is None else _flat(bias),
        result,
    )


def _flat(bias: Array | None) -> FloatArray | None:
    return None if bias is None else bias.astype(np.float32).reshape(-1)


def _scaled(levels: Array, scale: FloatArray, zero_point: Array | None, axis: int) -> FloatArray:
    """As ``DequantizeLinear`` computes it."""
    shape = [1] * levels.ndim
    axis %= levels.ndim
    if scale.size > 1:
        shape[axis] = scale.size
    steps = levels.astype(np.int32)
    if zero_point is not None:
        zero = zero_point.astype(np.int32)
        steps = steps - (zero.reshape(shape) if zero.size > 1 else zero.reshape(()))
    found: FloatArray = steps.astype(np.float32) * scale.astype(np.float32).reshape(shape)
    return found


def _blocks(places: Places, node: onnx.NodeProto) -> Read:
    """(inputs, outputs) of a ``MatMulNBits``: blocks of levels with a scale each."""
    said = {a.name: a.i for a in node.attribute if a.type == onnx.AttributeProto.INT}
    inputs, outputs = int(said["K"]), int(said["N"])
    bits, size = int(said.get("bits", 4)), int(said["block_size"])
    if len(node.input) > 4 and node.input[4]:
        raise ModelError("its inputs are in groups of another order")
    blocks = -(-inputs // size)
    levels = _unpacked(places.array(str(node.input[1])).reshape(outputs, -1), bits)
    levels = levels[:, : blocks * size].reshape(outputs, blocks, size)
    scales = places.floats(str(node.input[2])).reshape(outputs, blocks, 1)
    zero = places.optional(node, 3)
    if zero is None:
        middle: Array = np.array(2 ** (bits - 1), np.float32)
    elif zero.dtype == np.uint8:
        middle = _unpacked(zero.reshape(outputs, -1), bits)[:, :blocks, None].astype(np.float32)
    else:
        middle = zero.reshape(outputs, blocks, 1).astype(np.float32)
    weight = ((levels.astype(np.float32) - middle) * scales).reshape(outputs, -1)[:, :inputs]
    bias = places.optional(node, 5)
    return Read(
        np.ascontiguousarray(weight.T),
        1,
        InputGrid("matmul-nbits"),
        places.added(node) if bias is None else _flat(bias),
    )


def _unpacked(codes: Array, bits: int) -> Array:
    """(rows, bytes) → (rows, levels), the lowest bits first."""
    each = 8 // bits
    shifts = np.arange(each, dtype=np.uint8) * np.uint8(bits)
    levels = (codes[:, :, None] >> shifts) & np.uint8(2**bits - 1)
    return np.asarray(levels.reshape(len(codes), -1))


def _recurrent(places: Places, found: FoundLayer) -> Read:
    """(directions, rows, columns) of one weight of a ``DynamicQuantizeLSTM``, which it transposes.

    Both weights have scales and zero points of their own, behind all else.
    """
    node = found.node
    position = next(p for p in found.slot.positions if _reads(places, node, p))
    scale, zero = (8, 9) if position == 1 else (10, 11)
    levels = places.array(str(node.input[position])).astype(np.int32)
    scales, zeros = (places.array(str(node.input[place])) for place in (scale, zero))
    rows = levels.transpose(0, 2, 1)

    def spread(values: Array) -> Array:
        return values.reshape(len(rows), -1, 1)

    steps = (rows - spread(zeros.astype(np.int32))).astype(np.float32)
    weight = np.ascontiguousarray(steps * spread(scales.astype(np.float32)))
    return Read(weight, None, InputGrid("dynamic"))


def _rows(model: onnx.ModelProto, places: Places, node: onnx.NodeProto) -> FloatArray:
    """All rows of a table, as the file's nodes make them of their numbers."""
    table, indices = (str(name) for name in node.input[:2])
    value = str(node.output[0])
    while (reader := places.only_reader(value)) is not None and reader.op_type in _BEHIND_ROWS:
        value = str(reader.output[0])
    graph = PartitionedGraph(model, [value])
    part = graph.part({indices: ValueType(TensorProto.INT64, (None,))}, [value])
    count = len(places.array(table))
    del part.graph.input[:]
    part.graph.initializer.append(
        onnx.numpy_helper.from_array(np.arange(count, dtype=np.int64), indices)
    )
    embed(part.graph.initializer)
    return computed(part, places.constants.source).astype(np.float32)
