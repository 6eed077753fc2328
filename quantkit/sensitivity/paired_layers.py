"""Beside each layer a sibling: the same node with the same input, its weight quantized.

A session over such a graph gives a layer's float outputs y and its quantized ones ŷ in one run.
Nothing reads ŷ, so every layer still reads the float inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from quantkit.arrays import FloatArray
from quantkit.calibration.observations import Observations
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.layers import Layer
from quantkit.graph.operators import LayerWeight, layer_weights
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.kernels.eligibility import reason_to_stay_plain
from quantkit.quantization.weights import quantized_weight, require_constant


@dataclass(frozen=True)
class ObservedLayer:
    """The values around one layer.

    Args:
        name: of the layer.
        inputs: name of the input activation; empty for a look-up.
        outputs: name of what it computes.
        quantized: name of what its sibling computes.
        input_axis, output_axis: dimension of the channels in them.
        weight: position among the inputs of its node.
        weight_bytes: of the weight in float32.
    """

    name: str
    inputs: str
    outputs: str
    quantized: str
    input_axis: int
    output_axis: int
    weight: int
    weight_bytes: int

    def input_frames(self, values: FloatArray) -> FloatArray:
        """(frames, channels) of the activation."""
        return _frames(values, self.input_axis)

    def output_frames(self, values: FloatArray) -> FloatArray:
        """(frames, channels) of what the layer or its sibling computes."""
        return _frames(values, self.output_axis)


def observed_layers(model: onnx.ModelProto, layers: Sequence[Layer]) -> list[ObservedLayer]:
    """Those of ``layers`` whose weight is a plain float32 constant that a codec can store."""
    editor = GraphEditor(model)
    weights = layer_weights(editor)
    found: list[ObservedLayer] = []
    for layer in layers:
        weight = weights[layer.name]
        node, operator, position = weight.node, weight.operator, weight.position
        # Nothing can be added beside what a loop computes.
        if weight.editor is not editor or reason_to_stay_plain(weight) or not node.output[0]:
            continue
        assert position is not None
        found.append(
            ObservedLayer(
                name=layer.name,
                inputs="" if operator.is_lookup else _activation(weight),
                outputs=str(node.output[0]),
                quantized=editor.free_name(f"{node.output[0]}.quantized"),
                input_axis=operator.input_axis(editor, node),
                output_axis=operator.output_axis(editor, node),
                weight=position,
                weight_bytes=require_constant(weight).nbytes,
            )
        )
    return found


def siblings(model: onnx.ModelProto, layers: Sequence[ObservedLayer]) -> Iterator[onnx.NodeProto]:
    """The sibling of each layer; :func:`sibling_weights` gives what they read."""
    weights = layer_weights(GraphEditor(model))
    for layer in layers:
        sibling = copy_node(weights[layer.name].node)
        sibling.name = layer.quantized
        sibling.input[layer.weight] = _weight_name(layer)
        del sibling.output[:]
        sibling.output.append(layer.quantized)
        yield sibling


def sibling_weights(
    model: onnx.ModelProto, layers: Sequence[ObservedLayer], codec: CodecChoice
) -> Iterator[onnx.TensorProto]:
    """Weights of the siblings, one at a time.

    Rounded to the nearest levels, whatever they meet: this is before anything was learned about
    the audio.
    """
    weights = layer_weights(GraphEditor(model))
    for layer in layers:
        weight = quantized_weight(weights[layer.name], codec, Observations(), PtqSettings())
        yield numpy_helper.from_array(np.ascontiguousarray(weight), _weight_name(layer))


def _activation(weight: LayerWeight) -> str:
    """Name of what the weight is multiplied by, as a value of the graph."""
    if weight.slot.label:
        geometry = weight.geometry()
        return "" if geometry is None else geometry.value
    return next(str(name) for name in weight.node.input if name != weight.value)


def _weight_name(layer: ObservedLayer) -> str:
    return f"{layer.quantized}.weight"


def _frames(values: FloatArray, axis: int) -> FloatArray:
    if values.ndim < 2:
        return values.reshape(1, -1)
    last = np.moveaxis(values, axis, -1)
    return last.reshape(-1, last.shape[-1])
