"""What rewriting leaves behind in a graph goes: dead nodes, unread and equal constants."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import onnx

from quantkit.graph.partition import bodies, captured, reads
from quantkit.graph.tensors import tensor_array


def drop_dead_nodes(graph: onnx.GraphProto) -> None:
    """Remove nodes whose results are unused, also in bodies of control flow."""
    for node in graph.node:
        for body in bodies(node):
            drop_dead_nodes(body)
    needed = {value.name for value in graph.output}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if needed.intersection(name for name in node.output if name):
            needed.update(reads(node))
        else:
            del graph.node[index]


def drop_unread_initializers(graph: onnx.GraphProto) -> None:
    """Remove unused constants that are neither inputs nor outputs, also in bodies."""
    for node in graph.node:
        for body in bodies(node):
            drop_unread_initializers(body)
    used = {value.name for value in (*graph.output, *graph.input)}
    for node in graph.node:
        used.update(reads(node))
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in used:
            del graph.initializer[index]


def merge_initializers(graph: onnx.GraphProto, keep: Collection[str] = ()) -> None:
    """Let readers of equal constants read the first of them.

    Args:
        keep: those that stay, equal to others or not; so do outputs, and what bodies of control
            flow read.
    """
    fixed = {value.name for value in (*graph.output, *graph.input)} | set(keep)
    for node in graph.node:
        fixed.update(captured(node))
    first_of: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    replacement: dict[str, str] = {}
    for tensor in graph.initializer:
        if tensor.name in fixed:
            continue
        content = hashlib.sha256(tensor_array(tensor).tobytes()).digest()
        key = (tensor.data_type, tuple(tensor.dims), content)
        replacement[tensor.name] = first_of.setdefault(key, tensor.name)
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = replacement.get(name, name)
