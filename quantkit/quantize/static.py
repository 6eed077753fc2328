"""Layers with a calibrated activation range.

A layer inside a run of static layers goes through ``onnxruntime.quantization``'s QDQ form (uint8
activations, int8 weights per channel, int32 bias) and becomes one ``QLinearConv``,
``QLinearMatMul`` or ``QGemm`` when the session loads. A layer at the end of such a run, whose
result float nodes read, becomes an integer matrix product with a constant input grid instead: its
result is float32 at once and is never rounded to 8 bits (see
:mod:`quantkit.quantize.integer_matmul`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from quantkit.quantize.activations import VALUE_PRESERVING
from quantkit.quantize.editor import GraphEditor
from quantkit.quantize.integer_matmul import can_unfold, unfold
from quantkit.quantize.masks import integer_masks, is_zero_mask, mask_source
from quantkit.quantize.ranges import Range


@dataclass(frozen=True)
class StaticLayout:
    """Where the 8-bit grids of the static layers lie.

    Args:
        inputs: for each layer, the value whose range its input grid needs. Masks and
            transpositions are looked through, so that a value has one grid on its whole way.
        outputs: the same for the results of layers in QDQ form.
        unfolded: layers that become an integer matrix product.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    unfolded: frozenset[str]

    def tensors(self) -> dict[str, str]:
        """Values to calibrate, each with the layer that messages name it by."""
        makers = {value: layer for layer, value in self.outputs.items()}
        found = {value: makers.get(value, layer) for layer, value in self.inputs.items()}
        return found | makers


def lay_out(model: onnx.ModelProto, names: Collection[str]) -> StaticLayout:
    """Decide the form of the named layers of ``model``."""
    editor = GraphEditor(model)
    nodes = [node for node in editor.nodes if node.name in names]
    inputs = {node.name: _origin(editor, node.input[0]) for node in nodes}
    unfolded = frozenset(
        node.name
        for node in nodes
        if can_unfold(editor, node) and not _feeds_only(editor, node.output[0], set(names))
    )
    outputs = {node.name: _activated(editor, node) for node in nodes if node.name not in unfolded}
    return StaticLayout(inputs, outputs, unfolded)


def quantize_static_layers(
    model: onnx.ModelProto, layout: StaticLayout, ranges: Mapping[str, Range]
) -> onnx.ModelProto:
    """Rewrite the layers of ``layout``; returns the new model, ``model`` may be changed.

    Args:
        ranges: of every value in :meth:`StaticLayout.tensors`.
    """
    if layout.outputs:
        model = _to_qdq(model, layout, ranges)
    editor = GraphEditor(model)
    for node in [n for n in editor.nodes if n.name in layout.unfolded]:
        unfold(editor, node, ranges[layout.inputs[node.name]])
    integer_masks(editor)
    editor.finish()
    return model


def _to_qdq(
    model: onnx.ModelProto, layout: StaticLayout, ranges: Mapping[str, Range]
) -> onnx.ModelProto:
    editor = GraphEditor(model)
    grids: dict[str, TensorData] = {}
    chosen: list[str] = []
    operators: set[str] = set()
    for node in editor.nodes:
        if node.name not in layout.outputs:
            continue
        chosen.append(node.name)
        operators.add(node.op_type)
        result = layout.outputs[node.name]
        grids[node.input[0]] = _tensor_data(ranges[layout.inputs[node.name]])
        grids[node.output[0]] = grids[result] = _tensor_data(ranges[result])
        if result != node.output[0]:
            relu = editor.producers[result]
            chosen.append(relu.name)
            operators.add(relu.op_type)
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
        extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
    )
    with _quiet():
        quantizer.quantize_model()
        # It appends its nodes at the end, in no order.
        quantizer.model.topological_sort()
    result_model: onnx.ModelProto = quantizer.model.model
    return result_model


def _origin(editor: GraphEditor, value: str) -> str:
    """The value that ``value`` is a masked or reordered form of."""
    while (node := editor.producers.get(value)) is not None:
        if is_zero_mask(editor, node):
            value = mask_source(editor, node)
        elif node.op_type in VALUE_PRESERVING and editor.array(node.input[0]) is None:
            value = node.input[0]
        else:
            break
    return value


def _activated(editor: GraphEditor, node: onnx.NodeProto) -> str:
    """The output of ``node``, after the ReLU that ONNX Runtime will merge into it."""
    output = str(node.output[0])
    users = editor.consumers.get(output, [])
    if len(users) == 1 and users[0].op_type == "Relu" and output not in editor.outputs:
        return str(users[0].output[0])
    return output


def _feeds_only(editor: GraphEditor, value: str, layers: set[str]) -> bool:
    """Whether nothing but static layers read ``value``, through ReLUs, masks and reordering."""
    # Who asks for the shape only does not mind the grid.
    users = [u for u in editor.consumers.get(value, []) if u.op_type not in ("Shape", "Size")]
    if value in editor.outputs or not users:
        return False
    for user in users:
        if user.name in layers and user.input[0] == value:
            continue
        passes = user.op_type == "Relu" or user.op_type in VALUE_PRESERVING
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
