"""What rewriting leaves behind goes: a file holds each weight once, and nothing that is unused."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from quantkit.graph.artifact import PRODUCER
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers, merge_initializers
from quantkit.graph.tensors import tensor_array
from quantkit.version import __version__

# Written into the metadata by onnxruntime.quantization; it says nothing about the result.
_TOOL_METADATA = ("onnx.infer", "onnx.quant.pre_process")


def clean_up(model: onnx.ModelProto, keep: Collection[str] = ()) -> None:
    """Make ``model`` small and loadable by old runtimes, in place.

    1. Unused nodes are removed, then unused initializers.
    2. Integers stored as varints of one to five bytes become raw bytes, so that the file size does
       not depend on their values. Identical initializers are merged.
    3. Inferred shapes are removed, because rewriting made them stale.
    4. Unused operator sets are removed, and the IR version becomes the lowest possible.

    Args:
        keep: initializers that stay, equal to others or not.
    """
    graph = model.graph
    drop_dead_nodes(graph)
    # Unused initializers first: of two equal ones, an unused name must not be the one that is kept.
    drop_unread_initializers(graph)
    _store_raw(graph)
    grids = (tensor.name for tensor in graph.initializer if _is_grid(tensor))
    merge_initializers(graph, {*keep, *grids})
    drop_unread_initializers(graph)
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
    model.producer_version = __version__


def _store_raw(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        if tensor.int32_data or tensor.int64_data:
            array = tensor_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def _is_grid(tensor: onnx.TensorProto) -> bool:
    """Whether ``tensor`` may be scale or zero point of an activation.

    Some happen to be equal. Merging them would save a few bytes, and the size of a file would
    depend on the clips that it was calibrated on.
    """
    return not tensor.dims and tensor.data_type in (
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.UINT8,
    )


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
