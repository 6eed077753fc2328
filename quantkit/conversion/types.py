"""Types of the values of a graph, as far as ONNX's shape inference finds them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import onnx
from onnx import helper

from quantkit.graph.partition import bodies

# Inference looks into constants of shapes and axes; larger ones only have a type.
_LARGEST_KEPT = 64


def inferred_types(model: onnx.ModelProto) -> Mapping[str, onnx.TypeProto]:
    """The types of values by name; values of different graphs that share a name have none.

    Args:
        model: its weights may be left in a file; they are neither read nor copied.
    """
    light = onnx.ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph = light.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    given = {value.name for value in model.graph.input}
    graph.input.extend(model.graph.input)
    for tensor in model.graph.initializer:
        if not tensor.external_data and math.prod(tensor.dims) <= _LARGEST_KEPT:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    try:
        found = onnx.shape_inference.infer_shapes(light, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        # It is stricter than ONNX Runtime; what the graph itself says is left.
        found = light
    types: dict[str, onnx.TypeProto] = {}
    ambiguous: set[str] = set()
    for name, type_ in _typed(found.graph):
        if name in types and types[name] != type_:
            ambiguous.add(name)
        types[name] = type_
    return {name: type_ for name, type_ in types.items() if name not in ambiguous}


def rank_of(type_: onnx.TypeProto | None) -> int | None:
    """How many axes a tensor has; None where that is not known."""
    if type_ is None or not type_.tensor_type.HasField("shape"):
        return None
    return len(type_.tensor_type.shape.dim)


def _typed(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TypeProto]]:
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.HasField("type"):
            yield value.name, value.type
    for tensor in graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        yield tensor.name, info.type
    for node in graph.node:
        for body in bodies(node):
            yield from _typed(body)
