"""Masks: a ``Where`` that replaces some values by zero, such as the frames behind a clip's end."""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto, helper, shape_inference

from quantkit.graph.editor import GraphEditor

# Elements of the largest constant that a mask's shape could depend on.
_LARGEST_SHAPE = 64


def is_zero_mask(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    """Whether ``node`` is a ``Where`` that replaces some values by a constant zero."""
    if node.op_type != "Where":
        return False
    branches = [editor.array(name) for name in node.input[1:3]]
    constants = [value for value in branches if value is not None]
    return len(constants) == 1 and constants[0].size == 1 and float(constants[0].reshape(())) == 0.0


def mask_source(editor: GraphEditor, node: onnx.NodeProto) -> str:
    """The value that a zero mask is laid over."""
    return str(node.input[masked_position(editor, node)])


def masked_position(editor: GraphEditor, node: onnx.NodeProto) -> int:
    """Which input of a zero mask that value is."""
    return 2 if editor.is_constant(node.input[1]) else 1


def masks_positions(editor: GraphEditor, inside: str, rank: int) -> bool:
    """Whether ``inside`` is (batch, 1, positions …), or what broadcasts to it."""
    sizes = mask_sizes(editor, inside)
    if not sizes or len(sizes) > rank:
        return False
    # Of fewer dimensions, the first ones are missing, which broadcast.
    return len(sizes) < rank - 1 or sizes[1 - rank] == 1


def mask_sizes(editor: GraphEditor, inside: str) -> tuple[int, ...]:
    """Sizes of what a mask is told, 0 where one may vary; none where nothing is known."""
    return editor.shape(inside) or _inferred(editor, inside)


def _inferred(editor: GraphEditor, value: str) -> tuple[int, ...]:
    """Sizes of a value, 0 where one may vary; none where nothing is known."""
    graph = editor.graph
    light = onnx.ModelProto(ir_version=editor.model.ir_version)
    light.opset_import.extend(editor.model.opset_import)
    names, needed = [value], list[onnx.NodeProto]()
    while names:
        node = editor.producers.get(names.pop())
        if node is not None and not any(node is each for each in needed):
            needed.append(node)
            names.extend(node.input)
    light.graph.node.extend(node for node in editor.nodes if any(node is each for each in needed))
    light.graph.input.extend(graph.input)
    light.graph.initializer.extend(
        tensor for tensor in graph.initializer if math.prod(tensor.dims) <= _LARGEST_SHAPE
    )
    light.graph.output.append(helper.make_tensor_value_info(value, TensorProto.BOOL, None))
    try:
        inferred = shape_inference.infer_shapes(light, data_prop=True).graph
    except (shape_inference.InferenceError, ValueError):
        return ()
    return tuple(dim.dim_value for dim in inferred.output[0].type.tensor_type.shape.dim)
