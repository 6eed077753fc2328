"""Parts of a graph as models of their own: all before a node, all behind it, or what lies between.

A graph in topological order can be cut between any two of its nodes. What crosses the cut are its
*live values*: computed, or handed in, before it and read behind it. Whoever keeps them can run the
part behind the cut again and again without the part before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from quantkit.errors import ModelError


@dataclass(frozen=True)
class ValueType:
    """What a part has to know about a value that is handed to it.

    Args:
        element: an ``onnx.TensorProto`` type.
        shape: sizes, None where one may vary; None where even their number does.
    """

    element: int
    shape: tuple[int | None, ...] | None = None


class PartitionedGraph:
    """The main graph of one model, as far as some of its outputs need it.

    Values that depend on constants only never cross a cut: the nodes that compute them go along
    with whoever reads them. Operators need not be known, and values that the bodies of control
    flow read from outside count as read by their node.

    Args:
        model: in topological order, as ONNX demands; it is not changed, and must not change while
            parts are made.
        outputs: names of the values that are wanted in the end.

    Raises:
        ModelError: a node reads, or ``outputs`` names, a value that nothing before it computes.
    """

    def __init__(self, model: onnx.ModelProto, outputs: Sequence[str]) -> None:
        graph = model.graph
        self.model = model
        self.outputs = tuple(outputs)
        self._nodes = list(graph.node)
        self._read = [tuple(reads(node)) for node in self._nodes]
        self._maker = {
            name: i for i, node in enumerate(self._nodes) for name in node.output if name
        }
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._sparse = {tensor.values.name: tensor for tensor in graph.sparse_initializer}
        self._constants = {*self._initializers, *self._sparse}
        self._inputs = [v.name for v in graph.input if v.name not in self._constants]
        known = {*self._inputs, *self._constants}
        for node, names in zip(self._nodes, self._read, strict=True):
            for name in names:
                if name not in known:
                    raise ModelError(f"node {node.name}: its input {name} is not computed before")
            known.update(name for name in node.output if name)
            if self._constants.issuperset(names):
                self._constants.update(node.output)
        for name in outputs:
            if name not in known:
                raise ModelError(f"the graph computes no value {name}")
        self._needed = self._behind(self._inputs, self.outputs)

    def needs(self, position: int) -> bool:
        """Whether the outputs depend on the node at ``position``."""
        return position in self._needed

    def is_constant(self, name: str) -> bool:
        """Whether the value ``name`` depends on constants only."""
        return name in self._constants

    def position(self, name: str) -> int:
        """Of the node that computes the value ``name``."""
        return self._maker[name]

    def live(self, position: int) -> tuple[str, ...]:
        """The values that cross the cut before the node at ``position``, in order of first use."""
        found: dict[str, None] = {}
        behind = [name for i in sorted(self._needed) if i >= position for name in self._read[i]]
        for name in (*behind, *self.outputs):
            if name not in self._constants and self._maker.get(name, -1) < position:
                found[name] = None
        return tuple(found)

    def part(self, inputs: Mapping[str, ValueType], outputs: Sequence[str]) -> onnx.ModelProto:
        """The smallest model that computes ``outputs`` from ``inputs``.

        Args:
            inputs: what is handed in; the name of an initializer takes that one's place.
            outputs: none of them is among ``inputs``; their types are left for the runtime to find.

        Raises:
            ModelError: an output depends on an input of the whole graph that is not handed in.
        """
        positions = sorted(self._behind(inputs, outputs))
        part = onnx.ModelProto()
        part.ir_version = self.model.ir_version
        part.opset_import.extend(self.model.opset_import)
        part.functions.extend(self.model.functions)
        graph = part.graph
        graph.name = self.model.graph.name
        read = {name for i in positions for name in self._read[i]} | set(outputs)
        for name, kind in inputs.items():
            if name in read:
                graph.input.append(
                    onnx.helper.make_tensor_value_info(name, kind.element, kind.shape)
                )
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        graph.node.extend(self._nodes[i] for i in positions)
        graph.initializer.extend(
            t for name, t in self._initializers.items() if name in read and name not in inputs
        )
        graph.sparse_initializer.extend(
            t for name, t in self._sparse.items() if name in read and name not in inputs
        )
        return part

    def _behind(self, inputs: Iterable[str], outputs: Sequence[str]) -> set[int]:
        """Positions of the nodes that compute ``outputs`` from ``inputs`` and constants."""
        free = {*inputs, *self._initializers, *self._sparse}
        wanted = [name for name in outputs if name not in free]
        found: set[int] = set()
        while wanted:
            name = wanted.pop()
            maker = self._maker.get(name)
            if maker is None:
                raise ModelError(f"the part of the graph needs {name}, which is not handed in")
            if maker not in found:
                found.add(maker)
                wanted += [each for each in self._read[maker] if each not in free]
        return found


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names of what ``node`` reads, bodies of control flow included, each once."""
    seen: set[str] = set()
    for name in (*node.input, *captured(node)):
        if name and name not in seen:
            seen.add(name)
            yield name


def captured(node: onnx.NodeProto) -> Iterator[str]:
    """What the bodies of ``node`` (``If``, ``Loop``, ``Scan``) read from outside of them."""
    for body in bodies(node):
        inside = {value.name for value in body.input}
        inside |= {tensor.name for tensor in body.initializer}
        inside |= {tensor.values.name for tensor in body.sparse_initializer}
        for inner in body.node:
            for name in reads(inner):
                if name not in inside:
                    yield name
            inside.update(inner.output)
        # A branch may hand out an outer value as it is.
        for value in body.output:
            if value.name not in inside:
                yield value.name


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that ``node`` runs: branches of an ``If``, the body of a ``Loop`` or ``Scan``."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def graphs_within(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """``graph`` itself, and all that its nodes run, at any depth."""
    yield graph
    for node in graph.node:
        for body in bodies(node):
            yield from graphs_within(body)
