"""Layers with a calibrated activation range.

A layer inside a run of static layers goes through ``onnxruntime.quantization``'s QDQ form (uint8
activations, int8 weights per channel, int32 bias) and becomes one ``QLinearConv``,
``QLinearMatMul`` or ``QGemm`` when the session loads. A layer at the end of such a run, whose
result float nodes read, becomes an integer matrix product with a constant input grid instead: its
result is float32 at once and is never rounded to 8 bits (see
:mod:`quantkit.quantization.kernels.integer_matmul`). So does a long convolution whose input has
fewer than 8 bits, wherever it stands (:mod:`quantkit.quantization.kernels.fast_fir`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from quantkit.calibration.ranges import Range
from quantkit.codecs.base import Encoded
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.operators import unfolds
from quantkit.graph.operators.sets import ACTIVATION_PARTS, VALUE_PRESERVING
from quantkit.graph.opset import CONTRIBUTED, import_contributed
from quantkit.graph.tensors import raw_size
from quantkit.graph.topological import put_in_order
from quantkit.graph.zero_mask import is_zero_mask, mask_source
from quantkit.quantization.kernels.activations import clip_to_bits, static_grid
from quantkit.quantization.kernels.aligned_channels import align_channels
from quantkit.quantization.kernels.bias_correction import correct_added_bias, store_bias
from quantkit.quantization.kernels.fake_quantize import round_activation
from quantkit.quantization.kernels.fast_fir import halvings
from quantkit.quantization.kernels.integer_matmul import unfold
from quantkit.quantization.kernels.masks import integer_masks
from quantkit.quantization.kernels.row_masks import mask_whole_rows
from quantkit.quantization.kernels.split_groups import split_groups
from quantkit.quantization.weights import WeightStore, placed

#: Of weights: the outermost level of int8 that a codec uses.
INT8_LIMIT = 127
# Bytes; smaller ones are shapes, scales and the like, which shape inference reads.
_SMALLEST_PARKED = 1024
# Half of int32: a bias may grow by rounding, and the sum of products comes on top.
_LARGEST_BIAS = 2.0**30


@dataclass(frozen=True)
class StaticLayout:
    """Where the 8-bit grids of the static layers lie.

    Args:
        inputs: for each layer, the value whose range its input grid needs. Masks and
            transpositions are looked through, so that a value has one grid on its whole way.
        outputs: the same for the results of layers in QDQ form.
        unfolded: layers that become an integer matrix product.
        emulated: layers whose grids are finer than integer kernels know.
        bits: of the grid of each value.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    unfolded: frozenset[str]
    emulated: frozenset[str]
    bits: Mapping[str, int]

    def integer_bits(self, value: str) -> int:
        """Bits of the uint8 grid of ``value``."""
        # The 16 bits of an emulated reader do not matter here: it rounds separately.
        return min(self.bits.get(value, 8), 8)

    def coarsest_bits(self, value: str) -> int:
        """Bits of the coarsest grid that ``value`` is rounded to."""
        readers = {layer for layer, read in self.inputs.items() if read == value}
        if readers and readers <= self.emulated and value not in self.outputs.values():
            return self.bits[value]
        return self.integer_bits(value)

    def tensors(self) -> dict[str, str]:
        """Values to calibrate, each with the layer that messages name it by."""
        makers = {value: layer for layer, value in self.outputs.items()}
        found = {value: makers.get(value, layer) for layer, value in self.inputs.items()}
        return found | makers


def lay_out(
    model: onnx.ModelProto,
    activation_bits: Mapping[str, int],
    emulated: Collection[str] = (),
) -> StaticLayout:
    """Decide the form of layers of ``model``.

    Args:
        activation_bits: of the grid of each static layer's input, by the layer's name.
        emulated: those of them that no integer kernel can compute.
    """
    editor = GraphEditor(model)
    nodes = [node for node in editor.nodes if node.name in activation_bits]
    integer = {node.name for node in nodes} - set(emulated)
    inputs = {node.name: _origin(editor, node.input[0]) for node in nodes}
    bits: dict[str, int] = {}
    for layer, value in inputs.items():
        # A value has one grid: the finest one that a reader needs.
        bits[value] = max(bits.get(value, 0), activation_bits[layer])
    unfolded = frozenset(
        node.name
        for node in nodes
        if node.name in integer
        and unfolds(editor, node)
        and (
            not _feeds_only(editor, node.output[0], integer)
            or halvings(editor, node, bits[inputs[node.name]])
        )
    )
    outputs = {
        node.name: activated(editor, node) for node in nodes if node.name in integer - unfolded
    }
    return StaticLayout(inputs, outputs, unfolded, frozenset(emulated), bits)


def quantize_static_layers(
    model: onnx.ModelProto,
    layout: StaticLayout,
    ranges: Mapping[str, Range],
    weights: WeightStore,
) -> onnx.ModelProto:
    """Rewrite the layers of ``layout``; returns the new model, ``model`` may be changed.

    Args:
        ranges: of every value in :meth:`StaticLayout.tensors`.
        weights: encodes and remembers the weights.
    """
    if layout.outputs:
        model = _to_qdq(model, layout, ranges, weights)
    editor = GraphEditor(model)
    for node in [n for n in editor.nodes if n.name in layout.unfolded]:
        value = layout.inputs[node.name]
        unfold(editor, node, ranges[value], weights, layout.integer_bits(value))
    for node in [n for n in editor.nodes if n.name in layout.emulated]:
        value = layout.inputs[node.name]
        round_activation(editor, node, ranges[value], layout.bits[value])
    integer_masks(editor)
    split_groups(editor, layout.outputs)
    align_channels(editor, layout.outputs)
    mask_whole_rows(editor)
    editor.finish()
    if any(node.domain == CONTRIBUTED for node in model.graph.node):
        import_contributed(model)
    return model


def _to_qdq(
    model: onnx.ModelProto,
    layout: StaticLayout,
    ranges: Mapping[str, Range],
    weights: WeightStore,
) -> onnx.ModelProto:
    editor = GraphEditor(model)
    grids: dict[str, TensorData] = {}
    chosen: list[str] = []
    operators: set[str] = set()
    encoded: dict[str, Encoded] = {}
    overrides: dict[str, list[dict[str, Any]]] = {}
    low_bits: dict[str, int] = {}
    for node in editor.nodes:
        if node.name not in layout.outputs:
            continue
        chosen.append(node.name)
        operators.add(node.op_type)
        input_value = layout.inputs[node.name]
        input_scale, _ = static_grid(ranges[input_value], layout.integer_bits(input_value))
        encoded[node.name] = _encode(editor, node, weights, input_scale)
        result = layout.outputs[node.name]
        overrides[node.input[1]] = _scale_overrides(encoded[node.name])
        for value, names in (
            (layout.inputs[node.name], (node.input[0],)),
            (result, (node.output[0], result)),
        ):
            bits = layout.integer_bits(value)
            for name in names:
                grids[name] = _tensor_data(ranges[value])
                if bits < 8:
                    low_bits[name] = bits
                    overrides[name] = [_grid_override(ranges[value], bits)]
        if result != node.output[0]:
            relu = editor.producers[result]
            chosen.append(relu.name)
            operators.add(relu.op_type)
    own = [node for node in editor.nodes if node.name in layout.outputs]
    needed = {str(name) for node in own for name in node.input}
    editor.finish()
    parked = _park(model, needed)
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, grids),
        nodes_to_quantize=chosen,
        nodes_to_exclude=[],
        op_types_to_quantize=sorted(operators),
        extra_options={
            "WeightSymmetric": True,
            "ActivationSymmetric": False,
            # The biases' int32 grids follow from these scales.
            "TensorQuantOverrides": overrides,
        },
    )
    with _quiet():
        quantizer.quantize_model()
        # It appends its nodes at the end, in no order.
        quantizer.model.topological_sort()
    quantized: onnx.ModelProto = quantizer.model.model
    # It does not see what bodies of control flow read.
    graph = quantized.graph
    put_in_order(graph.node, {each.name for each in (*graph.input, *graph.initializer)})
    _take_back(quantized, parked)
    _spare_float_readers(quantized, layout, chosen)
    _put_levels(quantized, encoded, weights)
    _derive_bias_scales(quantized, encoded)
    _clip_low_bits(quantized, low_bits)
    return quantized


def _park(model: onnx.ModelProto, needed: Collection[str]) -> list[onnx.TensorProto]:
    """Turn large initializers but ``needed`` into inputs of ``model``, and return them.

    The quantizer copies the model, writes it to disk and reads it again, which would take several
    times the memory of weights that are not its affair.
    """
    graph = model.graph
    parked = []
    for index in reversed(range(len(graph.initializer))):
        tensor = graph.initializer[index]
        if tensor.name in needed or raw_size(tensor) < _SMALLEST_PARKED:
            continue
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        parked.append(copy)
        graph.input.append(helper.make_tensor_value_info(copy.name, copy.data_type, copy.dims))
        del graph.initializer[index]
    return parked[::-1]


def _take_back(model: onnx.ModelProto, parked: Collection[onnx.TensorProto]) -> None:
    graph = model.graph
    names = {tensor.name for tensor in parked}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in names:
            del graph.input[index]
    graph.initializer.extend(parked)


def _encode(
    editor: GraphEditor, node: onnx.NodeProto, weights: WeightStore, input_scale: np.float32
) -> Encoded:
    """Put the weight of ``node`` on its grid, and the values of the grid into the graph."""
    values = cast(npt.NDArray[np.float32], editor.array(node.input[1]))
    layer = placed(editor, node)
    axis = layer.axis(values.ndim)
    importance = layer.by_input(values.shape, weights.second_moments.get(node.name))
    means = layer.by_input(values.shape, weights.means.get(node.name))
    bias = editor.array(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if bias is None:
        biased = layer.has_bias
        encoded = weights.encode(node.name, values, axis, importance, bias=biased)
        correct_added_bias(editor, weights, node, values, encoded, means)
    else:
        finest = np.abs(bias.reshape(-1)) / (np.float64(input_scale) * _LARGEST_BIAS)
        alive = _without(values, axis, finest)
        encoded = weights.encode(node.name, alive, axis, importance, bias=True)
        encoded = _with_bias(encoded, finest)
        stored = store_bias(editor, weights, node.name, bias, values, encoded, means)
        node.input[2] = stored
    node.input[1] = editor.constant(f"{node.name}.weight", encoded.dequantized())
    return encoded


def _without(
    values: npt.NDArray[np.float32], axis: int, finest: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """The weight without channels that are nothing beside their bias.

    A bias is stored as int32 in steps of input scale · weight scale. Where a channel has died in
    training, its weights may be so small that the bias would not fit.
    """
    others = tuple(i for i in range(values.ndim) if i != axis)
    dead = np.abs(values).max(axis=others, initial=0) / INT8_LIMIT < finest
    if not dead.any():
        return values
    shape = [1] * values.ndim
    shape[axis] = -1
    return np.where(dead.reshape(shape), np.float32(0), values)


def _with_bias(encoded: Encoded, finest: npt.NDArray[np.float64]) -> Encoded:
    """The same levels; channels of zeros get a scale that their bias fits."""
    others = tuple(i for i in range(encoded.levels.ndim) if i != encoded.axis)
    empty = ~encoded.levels.any(axis=others)
    fitting = np.maximum(finest.astype(np.float32), encoded.scale)
    return replace(encoded, scale=np.where(empty, fitting, encoded.scale))


def _scale_overrides(encoded: Encoded) -> list[dict[str, Any]]:
    channels: list[dict[str, Any]] = [
        {
            "quant_type": QuantType.QInt8,
            "scale": np.array(scale, np.float32),
            "zero_point": np.array(0, np.int8),
        }
        for scale in encoded.scale
    ]
    channels[0]["axis"] = encoded.axis
    return channels


def _derive_bias_scales(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Let scales of biases be products of two others, which ONNX Runtime folds, and not stored.

    With few bits per weight, scale and zero point of a bias are much of what a layer takes.
    """
    editor = GraphEditor(model)
    for node in [n for n in editor.nodes if n.name in names and len(n.input) > 2]:
        activation, weight, bias = (editor.producers.get(name) for name in node.input)
        if activation is None or weight is None or bias is None:
            continue
        if bias.op_type != "DequantizeLinear":
            continue
        scale = editor.free_name(f"{node.name}.bias_scale")
        product = helper.make_node("Mul", [activation.input[1], weight.input[1]], [scale])
        dequantize = copy_node(bias)
        del dequantize.input[1:]
        dequantize.input.append(scale)
        editor.replace(bias, [product, dequantize])
    editor.finish()


def _grid_override(bounds: Range, bits: int) -> dict[str, Any]:
    scale, zero_point = static_grid(bounds, bits)
    return {
        "quant_type": QuantType.QUInt8,
        "scale": np.array(scale, np.float32),
        "zero_point": np.array(zero_point, np.uint8),
    }


def _clip_low_bits(model: onnx.ModelProto, low_bits: Mapping[str, int]) -> None:
    """Keep what is rounded to a grid of fewer than 8 bits from leaving it."""
    if not low_bits:
        return
    editor = GraphEditor(model)
    for node in list(editor.nodes):
        if node.op_type != "QuantizeLinear" or node.input[0] not in low_bits:
            continue
        raw = editor.free_name(f"{node.output[0]}.raw")
        quantize = copy_node(node)
        quantize.output[0] = raw
        nodes = [quantize]
        clip_to_bits(editor, raw, low_bits[node.input[0]], nodes)
        nodes[-1].output[0] = node.output[0]
        editor.replace(node, nodes)
    editor.finish()


def _spare_float_readers(
    model: onnx.ModelProto, layout: StaticLayout, chosen: Collection[str]
) -> None:
    """Let float operators read what static layers read as it was before it was rounded.

    The quantizer gives the rounded value to all readers. On a path around the layer, that costs
    accuracy and saves nothing. Results of integer kernels are there in 8 bits only.
    """
    editor = GraphEditor(model)
    made = {name for node in editor.nodes if node.name in chosen for name in node.output}
    made |= set(layout.outputs.values())
    for node in [n for n in editor.nodes if n.op_type == "DequantizeLinear"]:
        quantize = editor.producers.get(node.input[0])
        if quantize is None or quantize.input[0] in made:
            continue
        for reader in list(editor.consumers.get(node.output[0], [])):
            moves = reader.op_type in VALUE_PRESERVING or is_zero_mask(editor, reader)
            if reader.name in chosen or moves:
                continue
            changed = copy_node(reader)
            for position, name in enumerate(reader.input):
                if name == node.output[0]:
                    changed.input[position] = quantize.input[0]
            editor.replace(reader, [changed])
    editor.finish()


def _put_levels(
    model: onnx.ModelProto, encoded: Mapping[str, Encoded], weights: WeightStore
) -> None:
    """Let the quantized weights be the levels themselves: rounding anew could be off by one."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.name not in encoded:
            continue
        stored = tensors[producers[node.input[1]].input[0]]
        levels = encoded[node.name].levels
        stored.CopyFrom(numpy_helper.from_array(levels, stored.name))
        weights.remember(node.name, stored.name, encoded[node.name])


def _origin(editor: GraphEditor, value: str) -> str:
    """The value that ``value`` is a masked or reordered form of."""
    while (node := editor.producers.get(value)) is not None:
        if is_zero_mask(editor, node):
            value = mask_source(editor, node)
        elif node.op_type in VALUE_PRESERVING and not editor.is_constant(node.input[0]):
            value = node.input[0]
        else:
            break
    return value


def activated(editor: GraphEditor, node: onnx.NodeProto) -> str:
    """The output of ``node``, after the ReLU that ONNX Runtime will merge into it."""
    output = str(node.output[0])
    users = editor.consumers.get(output, [])
    if len(users) == 1 and users[0].op_type == "Relu" and output not in editor.outputs:
        return str(users[0].output[0])
    return output


def _feeds_only(editor: GraphEditor, value: str, layers: set[str]) -> bool:
    """Whether nothing but static layers read ``value``, through ReLUs, masks and reordering."""
    # Readers of the shape only are not affected by the grid.
    users = [u for u in editor.consumers.get(value, []) if u.op_type not in ("Shape", "Size")]
    if value in editor.outputs or not users:
        return False
    for user in users:
        if user.name in layers and user.input[0] == value:
            continue
        # Rounding a result to 8 bits costs less than the step back to integers behind it gains.
        passes = user.op_type in ACTIVATION_PARTS or user.op_type in VALUE_PRESERVING
        if not (passes or (is_zero_mask(editor, user) and mask_source(editor, user) == value)):
            return False
        if not _feeds_only(editor, user.output[0], layers):
            return False
    return True


def _tensor_data(bounds: Range) -> TensorData:
    return TensorData(
        lowest=np.array(bounds.lowest, np.float32), highest=np.array(bounds.highest, np.float32)
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the quantizer's advice to preprocess: shapes and fusions are ours to judge."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
