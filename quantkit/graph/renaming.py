"""Give the values of a graph other names."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from quantkit.graph.partition import bodies


def rename_values(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Give values new names, in the graphs inside nodes too.

    Inputs and outputs of ``graph`` are declared under their old names afterwards.
    """
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for value in graph.value_info:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in bodies(node):
            for value in (*inner.input, *inner.output):
                value.name = names.get(value.name, value.name)
            rename_values(inner, names)
