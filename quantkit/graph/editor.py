"""Replacing nodes of a graph while it stays in topological order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from quantkit.arrays import Array
from quantkit.errors import ModelError
from quantkit.graph.partition import bodies, reads
from quantkit.graph.tensors import tensor_array


class GraphEditor:
    """One graph of a model, with look-ups that stay right while it is edited.

    The bodies of control flow (``If``, ``Loop``, ``Scan``) have editors of their own, which look
    constants up outside, too, and put new ones into the main graph. To the graph around them, what
    they read is read by their node.

    Args:
        model: is changed in place when :meth:`finish` of its main graph's editor is called.
        graph: a body; None for the main graph.
        parent: the editor of the graph around the body.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        graph: onnx.GraphProto | None = None,
        parent: GraphEditor | None = None,
    ) -> None:
        self.model = model
        self.graph: onnx.GraphProto = model.graph if graph is None else graph
        self.parent = parent
        self.nodes: list[onnx.NodeProto] = list(self.graph.node)
        self.initializers = {tensor.name: tensor for tensor in self.graph.initializer}
        self.producers: dict[str, onnx.NodeProto] = {}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        # Names are free in all graphs of a model or in none.
        self._taken: set[str] = set() if parent is None else parent._taken
        self._taken.update(value.name for value in (*self.graph.input, *self.graph.output))
        self.outputs = {value.name for value in self.graph.output}
        self._inputs = {value.name for value in self.graph.input}
        for tensor in self.graph.sparse_initializer:
            self._taken.add(tensor.values.name)
        self._taken.update(self.initializers)
        self._bodies: list[tuple[onnx.NodeProto, GraphEditor]] = []
        self._edited = False
        for node in self.nodes:
            self._link(node)
            self._bodies += [(node, GraphEditor(model, body, self)) for body in bodies(node)]

    def everywhere(self) -> list[tuple[GraphEditor, onnx.NodeProto]]:
        """All nodes with the editors of their graphs; those of a body come after its node."""
        return [each for node in self.nodes for each in self.within(node)]

    def within(self, node: onnx.NodeProto) -> list[tuple[GraphEditor, onnx.NodeProto]]:
        """``node`` and all nodes in its bodies, each with its editor."""
        found: list[tuple[GraphEditor, onnx.NodeProto]] = [(self, node)]
        for owner, body in self._bodies:
            if owner is node:
                found += body.everywhere()
        return found

    @property
    def root(self) -> GraphEditor:
        """The editor of the main graph."""
        return self if self.parent is None else self.parent.root

    @property
    def opset(self) -> int:
        """Version of the standard operator set, 0 if the model imports none."""
        versions = [o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")]
        return int(versions[0]) if versions else 0

    def array(self, name: str) -> Array | None:
        """The value of a constant tensor: an initializer or the output of a ``Constant``."""
        tensor = self.tensor(name)
        return None if tensor is None else tensor_array(tensor)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """That of :meth:`array`, without reading it from a file."""
        tensor = self.tensor(name)
        return None if tensor is None else tuple(tensor.dims)

    def is_float32(self, name: str) -> bool:
        """Whether :meth:`array` has a value of that type, without reading it from a file."""
        tensor = self.tensor(name)
        return tensor is not None and tensor.data_type == TensorProto.FLOAT

    def input_array(self, node: onnx.NodeProto, position: int) -> Array | None:
        """:meth:`array` of an input of ``node``, which may be left out."""
        return self.array(node.input[position]) if position < len(node.input) else None

    def is_constant(self, name: str) -> bool:
        """Whether :meth:`array` has a value, without reading it."""
        return self.tensor(name) is not None

    def tensor(self, name: str) -> TensorProto | None:
        """A constant tensor: an initializer, or what a ``Constant`` holds."""
        if name in self.initializers:
            tensor: TensorProto = self.initializers[name]
            return tensor
        node = self.producers.get(name)
        if node is None and self.parent is not None and name not in self._inputs:
            return self.parent.tensor(name)
        if node is None or node.op_type != "Constant":
            return None
        return next((each.t for each in node.attribute if each.name == "value"), None)

    def constant(self, name: str, value: Array | np.generic) -> str:
        """Store a constant under ``name``, or a free name like it; returns the name."""
        name = self.free_name(name)
        # ascontiguousarray would turn a scalar into a vector.
        tensor = numpy_helper.from_array(np.array(value, order="C"), name)
        self.root.initializers[name] = tensor
        return name

    def only_consumer(self, value: str) -> onnx.NodeProto | None:
        """The node that reads ``value``, if it is one and ``value`` is no output of the graph."""
        users = self.consumers.get(value, [])
        return users[0] if len(users) == 1 and value not in self.outputs else None

    def free_name(self, name: str) -> str:
        """``name``, or with a number behind it when the graph already uses it."""
        candidate, number = name, 1
        while candidate in self._taken:
            number += 1
            candidate = f"{name}.{number}"
        self._taken.add(candidate)
        return candidate

    def replace(self, old: onnx.NodeProto, new: Sequence[onnx.NodeProto]) -> None:
        """Put ``new`` where ``old`` stands; the last one usually makes ``old``'s output."""
        position = next(i for i, node in enumerate(self.nodes) if node is old)
        self._edited = True
        self._unlink(old)
        self.nodes[position : position + 1] = list(new)
        for node in new:
            self._link(node)

    def set_input(self, node: onnx.NodeProto, position: int, name: str) -> None:
        """Let ``node``, one of this graph's, read ``name``."""
        self._unlink(node)
        node.input[position] = name
        self._edited = True
        self._link(node)

    def put_first(self, new: Sequence[onnx.NodeProto]) -> None:
        """Put ``new``, which reads constants only, before all other nodes."""
        self.nodes[:0] = list(new)
        for node in new:
            self._link(node)

    def redirect(self, old: str, new: str) -> None:
        """Let every consumer of the value ``old`` read ``new``."""
        for node in self.consumers.pop(old, []):
            for i, name in enumerate(node.input):
                if name == old:
                    node.input[i] = new
            for owner, body in self._bodies:
                if owner is node:
                    body._redirect_captured(old, new)
            self.consumers.setdefault(new, []).append(node)

    def _redirect_captured(self, old: str, new: str) -> None:
        if old not in self.consumers and old not in self.outputs:
            return
        self._edited = True
        self.redirect(old, new)
        for value in self.graph.output:
            if value.name == old:
                # A body that hands an outer value out as it is.
                value.name = new

    def attributes(self, node: onnx.NodeProto) -> dict[str, Any]:
        """The attributes of ``node`` by name."""
        return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}

    def finish(self) -> None:
        """Write the edited graph back into the model.

        Raises:
            ModelError: the edit left a value that nothing computes.
        """
        for _, body in self._bodies:
            body._write_back()
        graph = self.graph
        known = {value.name for value in graph.input} | self.initializers.keys() | {""}
        known |= {tensor.values.name for tensor in graph.sparse_initializer}
        for node in self.nodes:
            for name in reads(node):
                if name not in known:
                    raise ModelError(f"node {node.name}: its input {name} is not computed before")
            known.update(node.output)
        self._write_nodes()

    def _write_back(self) -> None:
        """Write an edited body, and those in it, into its node."""
        for _, body in self._bodies:
            body._write_back()
        if self._edited or any(body._edited for _, body in self._bodies):
            self._edited = True
            self._write_nodes()

    def _write_nodes(self) -> None:
        graph = self.graph
        # Copies, because clearing the graph invalidates the nodes that live in it.
        nodes = [copy_node(node) for node in self.nodes]
        kept = {tensor.name for tensor in graph.initializer}
        added = [tensor for name, tensor in self.initializers.items() if name not in kept]
        del graph.node[:]
        graph.node.extend(nodes)
        graph.initializer.extend(added)

    def _link(self, node: onnx.NodeProto) -> None:
        self._taken.update(node.output)
        for name in node.output:
            self.producers[name] = node
        for name in reads(node):
            self.consumers.setdefault(name, []).append(node)

    def _unlink(self, node: onnx.NodeProto) -> None:
        for name in node.output:
            if self.producers.get(name) is node:
                del self.producers[name]
        for name in reads(node):
            self.consumers[name] = [n for n in self.consumers.get(name, []) if n is not node]


def name_all_nodes(model: onnx.ModelProto) -> None:
    """Give every nameless node the name of its first output: foreign graphs have such nodes."""
    for node in model.graph.node:
        if not node.name and node.output:
            node.name = next((name for name in node.output if name), "")
    taken = {node.name for node in model.graph.node}
    for node in model.graph.node:
        for body in bodies(node):
            _name_inner_nodes(body, taken)


def _name_inner_nodes(graph: onnx.GraphProto, taken: set[str]) -> None:
    """Names that no node of another graph has: branches of an ``If`` are often written alike."""
    for node in graph.node:
        name = node.name or next((name for name in node.output if name), "")
        node.name, number = name, 1
        while node.name in taken:
            number += 1
            node.name = f"{name}.{number}"
        taken.add(node.name)
        for body in bodies(node):
            _name_inner_nodes(body, taken)


def fix_defaults(model: onnx.ModelProto) -> None:
    """Let initializers that callers might replace be constants, in place.

    ONNX had every initializer among the graph's inputs until IR version 4, and some exporters still
    put them there. Such a weight would stay in the file beside its quantized form.
    """
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in constants:
            del graph.input[index]
            model.ir_version = max(model.ir_version, 4)


def copy_node(node: onnx.NodeProto) -> onnx.NodeProto:
    """A node of its own: one that is part of a graph changes and goes with it."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
