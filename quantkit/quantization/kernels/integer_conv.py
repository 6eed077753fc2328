"""A convolution as ``ConvInteger``, for the ones that cannot be unfolded into a matrix product."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from quantkit.codecs.base import Encoded
from quantkit.graph.editor import GraphEditor
from quantkit.quantization.choices.settings import DynamicRange
from quantkit.quantization.kernels.activations import (
    never_negative,
    quantize_per_batch,
    quantize_per_clip,
)
from quantkit.quantization.kernels.bias_correction import store_bias
from quantkit.quantization.weights import WeightStore, placed

# The kernel takes one zero point for the whole weight; with it int8 becomes uint8 exactly.
_ZERO_POINT = 128


def to_conv_integer(
    editor: GraphEditor,
    node: onnx.NodeProto,
    dynamic_range: DynamicRange,
    weights: WeightStore,
    bits: int = 8,
) -> None:
    """Replace a ``Conv`` by ``ConvInteger`` with uint8 weights and a scale per output channel.

    The weights are uint8 because the kernel for int8 weights runs at a fifth of float32's speed.
    """
    name = str(node.name)
    weight = cast(npt.NDArray[np.float32], editor.array(node.input[1]))
    layer = placed(editor, node)
    importance = layer.by_input(weight.shape, weights.second_moments.get(name))
    has_bias = len(node.input) > 2 and bool(node.input[2])
    encoded = weights.encode(name, weight, 0, importance, bias=has_bias)
    per_channel = (1, -1, *(1,) * (weight.ndim - 2))
    nodes: list[onnx.NodeProto] = []
    source = str(node.input[0])
    if dynamic_range == "per-clip":
        nonnegative = never_negative(editor, source)
        quantized = quantize_per_clip(editor, source, name, nonnegative, nodes, weight.ndim, bits)
    else:
        quantized = quantize_per_batch(editor, source, name, nodes, bits)

    def add(op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = editor.free_name(f"{name}.{part}")
        nodes.append(helper.make_node(op, inputs, [output], f"{name}/{part}", **attributes))
        return output

    product = editor.free_name(f"{name}.product")
    inputs = [
        quantized.value,
        _unsigned(editor, name, encoded, weights, nodes),
        quantized.zero_point,
        editor.constant(f"{name}.weight_zero_point", np.uint8(_ZERO_POINT)),
    ]
    integer = helper.make_node("ConvInteger", inputs, [product], name)
    integer.attribute.extend(node.attribute)
    nodes.append(integer)
    result = add("Cast", [product], "float_product", to=TensorProto.FLOAT)
    weight_scale = editor.constant(f"{name}.weight_scale", encoded.scale.reshape(per_channel))
    result = add("Mul", [result, weight_scale], "channel_scaled")
    result = add("Mul", [result, quantized.scale], "scaled_product")
    if has_bias:
        bias = cast(npt.NDArray[np.float32], editor.array(node.input[2]))
        means = layer.by_input(weight.shape, weights.means.get(name))
        bias = bias.reshape(per_channel)
        add(
            "Add",
            [result, store_bias(editor, weights, name, bias, weight, encoded, means)],
            "biased",
        )
    nodes[-1].output[0] = node.output[0]
    editor.replace(node, nodes)


def _unsigned(
    editor: GraphEditor,
    name: str,
    encoded: Encoded,
    weights: WeightStore,
    nodes: list[onnx.NodeProto],
) -> str:
    """The levels + 128 as uint8; packed ones are moved up while the session loads."""
    if weights.is_plain(name):
        stored = (encoded.levels.astype(np.int16) + _ZERO_POINT).astype(np.uint8)
        return editor.constant(f"{name}.weight_uint8", stored)
    signed = weights.add(editor, name, f"{name}.weight", encoded)
    same_bits, moved = (editor.free_name(f"{name}.weight_{part}") for part in ("bits", "uint8"))
    nodes.append(helper.make_node("Cast", [signed], [same_bits], to=TensorProto.UINT8))
    top_bit = editor.constant(f"{name}.top_bit", np.uint8(_ZERO_POINT))
    # Flipping the top bit of two's complement adds 128. Subtraction has no kernel for bytes.
    nodes.append(helper.make_node("BitwiseXor", [same_bits, top_bit], [moved]))
    return moved
