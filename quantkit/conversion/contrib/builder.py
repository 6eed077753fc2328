"""Writing the nodes that take the place of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper

from quantkit.arrays import Array
from quantkit.conversion.types import rank_of
from quantkit.graph.editor import GraphEditor

MICROSOFT = "com.microsoft"


class Unclear(Exception):
    """A node cannot be taken apart: it does more than is known, or too little is known of it."""


class Parts:
    """The nodes that one node becomes.

    Args:
        scope: of the graph that the node stands in.
        node: the node.
        types: of values, as far as they are known.
    """

    def __init__(
        self, scope: GraphEditor, node: NodeProto, types: Mapping[str, onnx.TypeProto]
    ) -> None:
        self.scope, self.node, self.types = scope, node, types
        self.attributes: dict[str, Any] = scope.attributes(node)
        self.nodes: list[NodeProto] = []
        self._base = node.name or next(name for name in node.output if name)

    def input(self, position: int) -> str:
        """The name of an input; empty where it is left out."""
        return str(self.node.input[position]) if position < len(self.node.input) else ""

    def output(self, position: int) -> str:
        """The name of an output; empty where nobody wants it."""
        return str(self.node.output[position]) if position < len(self.node.output) else ""

    def require_only(self, attributes: Sequence[str], inputs: int, outputs: int) -> None:
        """Raise :class:`Unclear` where the node has more than the rewriting knows."""
        if strange := sorted(set(self.attributes) - set(attributes)):
            raise Unclear(f"its attribute {strange[0]} is not known")
        if any(self.node.input[inputs:]) or any(self.node.output[outputs:]):
            raise Unclear("it has further inputs or outputs")

    def rank(self, value: str) -> int:
        """How many axes a value has."""
        rank = rank_of(self.types.get(value))
        if rank is None:
            raise Unclear(f"the rank of {value} is not known")
        return rank

    def add(
        self, op: str, inputs: Sequence[str], output: str = "", name: str = "", **attributes: Any
    ) -> str:
        """Append a node.

        Args:
            output: name of its result; empty: one that is free.
            name: of the node; empty: that of its result.

        Returns:
            The name of its result.
        """
        result = output or self.scope.free_name(f"{self._base}.{op.lower()}")
        if not name:
            name = self.scope.free_name(f"{self._base}.{op.lower()}") if output else result
        self.nodes.append(helper.make_node(op, list(inputs), [result], name, **attributes))
        return result

    def split(self, value: str, sizes: Sequence[int]) -> list[str]:
        """Parts of ``value`` along its last axis."""
        results = [self.scope.free_name(f"{self._base}.part") for _ in sizes]
        inputs = [value, self.constant(np.array(sizes, np.int64))]
        self.nodes.append(helper.make_node("Split", inputs, results, results[0], axis=-1))
        return results

    def constant(self, value: Array | np.generic) -> str:
        """The name of a new constant."""
        return self.scope.constant(f"{self._base}.constant", value)

    def scalar(self, value: float) -> str:
        """A float32 constant without axes."""
        return self.constant(np.float32(value))

    def ints(self, *values: int) -> str:
        """A vector of integers, such as axes or a shape."""
        return self.constant(np.array(values, np.int64))
