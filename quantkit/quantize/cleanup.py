"""What rewriting leaves behind goes: a file holds each weight once, and nothing that is unused."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import onnx

import quantkit
from quantkit.graph.artifact import PRODUCER
from quantkit.graph.tensors import tensor_array

# Written into the metadata by onnxruntime.quantization; it says nothing about the result.
_TOOL_METADATA = ("onnx.infer", "onnx.quant.pre_process")


def clean_up(model: onnx.ModelProto, apart: Collection[str] = ()) -> None:
    """Make ``model`` small and loadable by old runtimes, in place.

    1. Nodes whose results nobody uses go, then initializers that nobody uses.
    2. Integers that lie in the file number by number, in one to five bytes each, become raw bytes:
       the file's size must not depend on them. Identical initializers become one.
    3. Inferred shapes go: they went stale when the graph was rewritten.
    4. Operator sets that no node uses go, and the IR version becomes the lowest that fits.

    Args:
        apart: initializers that stay, equal to others or not.
    """
    graph = model.graph
    _drop_dead_nodes(graph)
    # First what nobody reads: a name that goes anyway must not be the one that stays of two.
    _drop_unused_initializers(graph)
    _store_raw(graph)
    _merge_initializers(graph, apart)
    _drop_unused_initializers(graph)
    del graph.value_info[:]
    domains = {"" if d == "ai.onnx" else d for d in _domains(graph)} | {
        "" if f.domain == "ai.onnx" else f.domain for f in model.functions
    }
    for index in reversed(range(len(model.opset_import))):
        domain = model.opset_import[index].domain
        if ("" if domain == "ai.onnx" else domain) not in domains | {""}:
            del model.opset_import[index]
    standard = [o for o in model.opset_import if o.domain in ("", "ai.onnx")]
    model.ir_version = max(
        onnx.helper.find_min_ir_version_for(standard, ignore_unknown=True), _ir_for_types(graph)
    )
    kept = [(p.key, p.value) for p in model.metadata_props if p.key not in _TOOL_METADATA]
    del model.metadata_props[:]
    for key, value in kept:
        model.metadata_props.add(key=key, value=value)
    model.producer_name = PRODUCER
    model.producer_version = quantkit.__version__


def _drop_dead_nodes(graph: onnx.GraphProto) -> None:
    needed = {value.name for value in graph.output}
    for node in graph.node:
        needed |= captured_names(node)
    dead: set[int] = set()
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if needed.intersection(name for name in node.output if name):
            needed.update(node.input)
        else:
            dead.add(index)
    for index in sorted(dead, reverse=True):
        del graph.node[index]


def _store_raw(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        if tensor.int32_data or tensor.int64_data:
            array = tensor_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def _merge_initializers(graph: onnx.GraphProto, apart: Collection[str]) -> None:
    outputs = {value.name for value in graph.output}
    captured = {name for node in graph.node for name in captured_names(node)}
    first_of: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    replacement: dict[str, str] = {}
    for tensor in graph.initializer:
        if tensor.name in outputs or tensor.name in captured or tensor.name in apart:
            continue
        if _is_grid(tensor):
            continue
        content = hashlib.sha256(tensor_array(tensor).tobytes()).digest()
        key = (tensor.data_type, tuple(tensor.dims), content)
        replacement[tensor.name] = first_of.setdefault(key, tensor.name)
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = replacement.get(name, name)


def _is_grid(tensor: onnx.TensorProto) -> bool:
    """Whether ``tensor`` may be scale or zero point of an activation.

    Some happen to be equal. Merging them would save a few bytes, and the size of a file would
    depend on the clips that it was calibrated on.
    """
    return not tensor.dims and tensor.data_type in (
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.UINT8,
    )


def _drop_unused_initializers(graph: onnx.GraphProto) -> None:
    used = _used_names(graph)
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in used:
            del graph.initializer[index]


def _used_names(graph: onnx.GraphProto) -> set[str]:
    used = {value.name for value in (*graph.output, *graph.input)}
    for node in graph.node:
        used.update(node.input)
        used |= captured_names(node)
    return used


def captured_names(node: onnx.NodeProto) -> set[str]:
    """Names that subgraphs of ``node`` (If, Loop, Scan) may take from outside."""
    names: set[str] = set()
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                names.update(inner.input)
                names |= captured_names(inner)
            names.update(value.name for value in graph.output)
    return names


def _domains(graph: onnx.GraphProto) -> set[str]:
    found: set[str] = set()
    for node in graph.node:
        found.add(node.domain)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found |= _domains(inner)
    return found


def _ir_for_types(graph: onnx.GraphProto) -> int:
    # 4-bit integers came with IR version 10, 2-bit ones with 13.
    needed = {"INT4": 10, "UINT4": 10, "INT2": 13, "UINT2": 13}
    names = (onnx.TensorProto.DataType.Name(t.data_type) for t in graph.initializer)
    return max((needed.get(name, 0) for name in names), default=0)
