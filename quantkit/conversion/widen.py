"""Graphs of float16 or bfloat16 become float32: each of those numbers is one of float32, too."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, helper

from quantkit.conversion.types import inferred_types
from quantkit.errors import OutputError
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.partition import graphs_within
from quantkit.graph.tensors import move_out, set_raw_bytes, tensor_array

#: Types of 16 bits that are widened.
HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)

# Attributes that say of which type an operator's result is.
_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype"})
_FLOATS = (*HALVES, TensorProto.FLOAT)
# Smaller ones stay in the graph.
_SMALLEST_LEFT = 1 << 16


def halves_in(model: onnx.ModelProto) -> tuple[str, ...]:
    """Which of the types of 16 bits occur in ``model``, as ONNX calls them, in small letters."""
    found = {type_ for graph in graphs_within(model.graph) for type_ in _types_in(graph)}
    return tuple(str(TensorProto.DataType.Name(each)).lower() for each in HALVES if each in found)


def widen(model: onnx.ModelProto, weights: Path, *, keep_interface: bool) -> str:
    """Let ``model``, which has no functions of its own, compute in float32, in place.

    Args:
        weights: a file to write, of which large weights become part: they take twice the space of
            those that they are made of.
        keep_interface: whether inputs and outputs of 16 bits stay; they are cast then.

    Returns:
        What was done, in words; empty where nothing has 16 bits.

    Raises:
        OutputError: ``weights`` cannot be written.
    """
    halves = halves_in(model)
    if not halves:
        return ""
    idle = _idle_casts(model)
    border = [v for v in (*model.graph.input, *model.graph.output) if _type_of(v) in HALVES]
    kept = {value.name: _type_of(value) for value in border} if keep_interface else {}
    try:
        with weights.open("wb") as stream:
            for tensor in model.graph.initializer:
                _widen_tensor(tensor, stream, weights)
    except OSError as error:
        raise OutputError(
            f"cannot put weights into {weights.parent}: {error.strerror or error}; make room "
            "there, or let TMPDIR name another folder"
        ) from error
    for graph in graphs_within(model.graph):
        _widen_graph(graph)
    editor = GraphEditor(model)
    _remove_casts(editor, idle)
    _cast_at_the_border(editor, kept)
    editor.finish()
    return f"{' and '.join(halves)} is widened to float32"


def _type_of(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _types_in(graph: onnx.GraphProto) -> Iterator[int]:
    for value in (*graph.input, *graph.output):
        yield value.type.tensor_type.elem_type
    for tensor in _tensors(graph):
        yield tensor.data_type
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _TYPE_ATTRIBUTES:
                yield attribute.i


def _idle_casts(model: onnx.ModelProto) -> set[str]:
    """Results of casts between the types that become one."""
    types = inferred_types(model)
    found = set()
    for graph in graphs_within(model.graph):
        for node in graph.node:
            if node.op_type != "Cast" or node.domain not in ("", "ai.onnx"):
                continue
            target = next((each.i for each in node.attribute if each.name == "to"), 0)
            source = types.get(node.input[0])
            known = 0 if source is None else source.tensor_type.elem_type
            if target in _FLOATS and known in _FLOATS and {target, known} & set(HALVES):
                found.add(node.output[0])
    return found


def _remove_casts(editor: GraphEditor, idle: Collection[str]) -> None:
    for scope, node in editor.everywhere():
        if node.op_type != "Cast" or node.output[0] not in idle:
            continue
        if node.output[0] in scope.outputs:
            # The name of an output stays.
            same = helper.make_node("Identity", list(node.input), list(node.output), node.name)
            scope.replace(node, [same])
        else:
            scope.redirect(node.output[0], node.input[0])
            scope.replace(node, [])


def _cast_at_the_border(editor: GraphEditor, kept: Mapping[str, int]) -> None:
    """Let inputs and outputs have the types that they had."""
    graph = editor.graph
    for value in graph.input:
        if value.name in kept:
            wide = editor.free_name(f"{value.name}.float32")
            editor.redirect(value.name, wide)
            editor.put_first([_cast(value.name, wide, TensorProto.FLOAT)])
            value.type.tensor_type.elem_type = kept[value.name]
    for value in graph.output:
        if value.name in kept and value.name in editor.producers:
            wide = editor.free_name(f"{value.name}.float32")
            maker = editor.producers[value.name]
            editor.redirect(value.name, wide)
            renamed = copy_node(maker)
            renamed.output[:] = [wide if n == value.name else n for n in maker.output]
            editor.replace(maker, [renamed, _cast(wide, value.name, kept[value.name])])
            value.type.tensor_type.elem_type = kept[value.name]


def _cast(source: str, result: str, type_: int) -> NodeProto:
    return helper.make_node("Cast", [source], [result], f"{result}.cast", to=type_)


def _widen_graph(graph: onnx.GraphProto) -> None:
    for tensor in _tensors(graph):
        _widen_tensor(tensor)
    for value in (*graph.value_info, *graph.input, *graph.output):
        _widen_type(value.type)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i in HALVES:
                attribute.i = TensorProto.FLOAT
            if attribute.type == AttributeProto.TYPE_PROTO:
                _widen_type(attribute.tp)


def _widen_tensor(
    tensor: TensorProto, stream: IO[bytes] | None = None, weights: Path = Path()
) -> None:
    if tensor.data_type not in HALVES:
        return
    raw = np.ascontiguousarray(tensor_array(tensor).astype(np.float32)).tobytes()
    for field in ("int32_data", "raw_data"):
        tensor.ClearField(field)
    tensor.data_type = TensorProto.FLOAT
    if stream is not None and len(raw) >= _SMALLEST_LEFT:
        move_out(tensor, raw, stream, str(weights))
    else:
        set_raw_bytes(tensor, raw)


def _widen_type(type_: onnx.TypeProto) -> None:
    kind = type_.WhichOneof("value")
    if kind == "tensor_type" and type_.tensor_type.elem_type in HALVES:
        type_.tensor_type.elem_type = TensorProto.FLOAT
    elif kind in ("sequence_type", "optional_type"):
        _widen_type(getattr(type_, kind).elem_type)


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Those of ``graph`` and of its nodes; without those of its bodies."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
