"""Nodes and constants of a part of a graph, written one expression after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

# From here on, the axes of every reduction are an input.
_AXES_AS_INPUT = 18


class NodeBuilder:
    """Collects nodes whose names begin with a prefix.

    Args:
        prefix: of the names of nodes, values and constants.
        opset: of the graph that the nodes are for.
    """

    def __init__(self, prefix: str, opset: int) -> None:
        self.prefix, self.opset = prefix, opset
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}

    def add(self, name: str, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node; returns the name of its result.

        Args:
            name: of node and result, without the prefix.
            output: name of the result where it is one of the graph's own.
        """
        result = output or self.prefix + name
        node = helper.make_node(op, list(inputs), [result], self.prefix + name, **attributes)
        self.nodes.append(node)
        return result

    def constant(self, name: str, value: Any, kind: type[np.generic] = np.int64) -> str:
        """A constant of the graph."""
        full = self.prefix + name
        tensor = numpy_helper.from_array(np.asarray(value, kind), full)
        self.tensors.setdefault(full, tensor)
        return full

    def double(self, name: str, value: float) -> str:
        """A number in double precision."""
        return self.constant(name, value, np.float64)

    def reduce(self, name: str, op: str, value: str, axes: Sequence[int]) -> str:
        """A reduction that keeps its axes."""
        if op == "ReduceSum" or self.opset >= _AXES_AS_INPUT:
            listed = self.constant(f"axes_{'_'.join(map(str, axes))}", list(axes))
            return self.add(name, op, value, listed)
        return self.add(name, op, value, axes=list(axes))

    def slice(self, name: str, value: str, start: int, end: int, axis: int) -> str:
        """A part along one axis."""
        ends = [self.constant(f"at_{n}", [n]) for n in (start, end, axis)]
        return self.add(name, "Slice", value, *ends)
