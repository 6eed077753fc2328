"""Graph queries shared by several passes."""

from __future__ import annotations

import onnx

from quantkit.graph.editor import GraphEditor


def only_consumer(editor: GraphEditor, value: str) -> onnx.NodeProto | None:
    """The only node that reads ``value``; None if there are more, or it is a graph output."""
    return editor.only_consumer(value)


def scalar(editor: GraphEditor, name: str) -> float | None:
    """The number in a constant of one element."""
    value = editor.array(name)
    return float(value.reshape(())) if value is not None and value.size == 1 else None


def split_scalar(editor: GraphEditor, node: onnx.NodeProto) -> tuple[str, float] | None:
    """Value and constant scalar of a binary operator that has one of each, in any order."""
    for value, constant in (tuple(node.input), tuple(reversed(node.input))):
        number = scalar(editor, constant)
        if number is not None:
            return value, number
    return None


def runtime_column(editor: GraphEditor, node: onnx.NodeProto, value: str) -> str | None:
    """The (batch, channels, 1) operand that a binary operator combines ``value`` with.

    It must come from an ``Unsqueeze`` of the last of three axes, which guarantees the shape.
    """
    other = str(node.input[1] if node.input[0] == value else node.input[0])
    maker = editor.producers.get(other)
    if maker is None or maker.op_type != "Unsqueeze" or len(maker.input) < 2:
        return None
    axes = editor.array(maker.input[1])
    return other if axes is not None and axes.tolist() == [2] else None


def remove_unused(editor: GraphEditor, node: onnx.NodeProto) -> None:
    """Remove ``node`` if its results are unused, then its inputs' producers likewise."""
    pending = [node]
    while pending:
        candidate = pending.pop()
        results = [name for name in candidate.output if name]
        if not any(candidate is kept for kept in editor.nodes):
            continue
        if any(editor.consumers.get(name) or name in editor.outputs for name in results):
            continue
        sources = [editor.producers[name] for name in candidate.input if name in editor.producers]
        editor.replace(candidate, [])
        pending.extend(sources)
