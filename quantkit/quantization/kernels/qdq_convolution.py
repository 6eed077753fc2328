"""Convolutions in QDQ form, taken apart so that they can be put together in another shape.

``onnxruntime.quantization`` writes a static convolution as ``QuantizeLinear(Conv(
DequantizeLinear(x), DequantizeLinear(levels), DequantizeLinear(bias)))``, with a ReLU before the
outer node where there is one, and ONNX Runtime makes one ``QLinearConv`` of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.operators import operator_of
from quantkit.quantization.kernels.emitter import Emitter

#: Makes another constant of a constant along its output channels: its name, and what it holds for
#: channels that are new.
Change = Callable[[str, float], str]


@dataclass(frozen=True)
class QdqConvolution:
    """The parts of one of them: nodes, and names of values.

    Args:
        node: the ``Conv``.
        rounded: its input, uint8 (batch, channels, positions …).
        scale, zero_point: of that, scalars.
        levels: the weight, int8 (outputs, channels of a group, taps …).
        weight_scale, weight_zero_point: a vector each, by output.
        bias: int32 (outputs,); empty for none.
        shape: of the weight.
        groups: see ``Conv``.
    """

    node: onnx.NodeProto
    rounded: str
    scale: str
    zero_point: str
    levels: str
    weight_scale: str
    weight_zero_point: str
    bias: str
    shape: tuple[int, ...]
    groups: int

    def emit(
        self,
        emitter: Emitter,
        rounded: str,
        change: Change,
        change_levels: Callable[[str], str],
        part: str,
    ) -> str:
        """Append a convolution of other operands, and return its result.

        Args:
            rounded: its input on the same grid.
            change: for scales, zero points and bias.
            change_levels: for the weight.
            part: of the layer that it computes; the first one is empty and has the layer's name.
        """
        grid = [self.scale, self.zero_point]
        inputs = [emitter.add("DequantizeLinear", [rounded, *grid], "input")]
        scale = change(self.weight_scale, 1.0)
        zero = change(self.weight_zero_point, 0.0)
        levels = change_levels(self.levels)
        inputs.append(emitter.add("DequantizeLinear", [levels, scale, zero], "weight", axis=0))
        if self.bias:
            product = emitter.add("Mul", [self.scale, scale], "bias_scale")
            bias = change(self.bias, 0.0)
            inputs.append(emitter.add("DequantizeLinear", [bias, product], "bias", axis=0))
        result = emitter.editor.free_name(f"{emitter.name}.{part or 'result'}")
        node = copy_node(self.node)
        del node.input[:]
        node.input.extend(inputs)
        node.output[0] = result
        node.name = f"{emitter.name}/{part}" if part else emitter.name
        kept = [each for each in node.attribute if each.name != "group"]
        del node.attribute[:]
        node.attribute.extend(kept)
        emitter.nodes.append(node)
        return result


def qdq_convolutions(editor: GraphEditor, layers: Collection[str]) -> list[QdqConvolution]:
    """Those among ``layers`` that ONNX Runtime will make a ``QLinearConv`` of."""
    found = (_taken_apart(editor, node) for node in editor.nodes if node.name in layers)
    return [each for each in found if each is not None]


def rounding_behind(editor: GraphEditor, value: str) -> list[onnx.NodeProto]:
    """The nodes that round the result ``value`` of a convolution: a ReLU, if any, and the last one.

    Empty where something else reads it, too.
    """
    nodes = []
    for expected in ("Relu", "QuantizeLinear"):
        follower = editor.only_consumer(value)
        if follower is not None and follower.op_type == expected:
            nodes.append(follower)
            value = str(follower.output[0])
    return nodes if nodes and nodes[-1].op_type == "QuantizeLinear" else []


def _taken_apart(editor: GraphEditor, node: onnx.NodeProto) -> QdqConvolution | None:
    operator = operator_of(node)
    if operator is None or not rounding_behind(editor, node.output[0]):
        return None
    makers = (_dequantize(editor, name) for name in node.input if name)
    operands = [maker for maker in makers if maker is not None]
    if len(operands) < sum(bool(name) for name in node.input):
        return None
    activation, weight, *biases = operands
    tensor = editor.initializers.get(weight.input[0])
    if len(activation.input) < 3 or len(weight.input) < 3 or tensor is None:
        return None
    if tensor.data_type != TensorProto.INT8 or editor.attributes(weight).get("axis", 1) != 0:
        return None
    vectors = [str(name) for name in weight.input[1:]]
    if biases:
        product = editor.producers.get(biases[0].input[1])
        # Of the two other scales: see the module about static layers.
        if product is None or list(product.input) != [activation.input[1], weight.input[1]]:
            return None
        vectors.append(str(biases[0].input[0]))
    shape = tuple(tensor.dims)
    if any(editor.shape(name) != shape[:1] for name in vectors) or len(shape) < 3:
        return None
    if operator.result_axis != 1 or operator.channel_axis(editor, node, len(shape)) != 0:
        return None
    rounded, scale, zero_point = (str(name) for name in activation.input)
    return QdqConvolution(
        node=node,
        rounded=rounded,
        scale=scale,
        zero_point=zero_point,
        levels=str(weight.input[0]),
        weight_scale=vectors[0],
        weight_zero_point=vectors[1],
        bias=vectors[2] if biases else "",
        shape=shape,
        groups=int(editor.attributes(node).get("group", 1)),
    )


def _dequantize(editor: GraphEditor, value: str) -> onnx.NodeProto | None:
    node = editor.producers.get(value)
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def followed(emitter: Emitter, result: str, rounding: Collection[onnx.NodeProto], part: str) -> str:
    """Append copies of ``rounding`` behind ``result``; returns the rounded value."""
    for node in rounding:
        copy = copy_node(node)
        copy.input[0] = result
        copy.output[0] = emitter.editor.free_name(f"{emitter.name}.{part}")
        copy.name = f"{emitter.name}/{part}_{node.op_type.lower()}"
        emitter.nodes.append(copy)
        result = str(copy.output[0])
    return result


def put_in_place(
    editor: GraphEditor,
    convolution: QdqConvolution,
    rounding: list[onnx.NodeProto],
    nodes: list[onnx.NodeProto],
) -> None:
    """Let ``nodes``, the last of which makes the rounded result, stand for the convolution."""
    last = nodes[-1]
    last.output[0] = rounding[-1].output[0]
    for node in rounding[:-1]:
        editor.replace(node, [])
    editor.replace(convolution.node, [])
    editor.replace(rounding[-1], nodes)
