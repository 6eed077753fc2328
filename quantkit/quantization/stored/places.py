"""Who makes and who reads the values of one graph of a file, and its constants."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx

from quantkit.arrays import Array, FloatArray
from quantkit.graph.partition import reads
from quantkit.runtime.folding import FoldedConstants

# What may stand between an integer product and its bias.
_RESCALING = frozenset({"Cast", "Mul", "QuantizeLinear", "DequantizeLinear"})

_ONE = np.array(1.0, np.float32)


class Places:
    """One graph of a model.

    Args:
        graph: the main one or a body.
        constants: of the main graph, where weights of bodies lie, too.
        outside: of the graph around a body.
    """

    def __init__(
        self, graph: onnx.GraphProto, constants: FoldedConstants, outside: Places | None = None
    ) -> None:
        self.nodes = list(graph.node)
        self.constants = constants
        self.outputs = {value.name for value in graph.output}
        own = {str(name): node for node in graph.node for name in node.output}
        self.producers: dict[str, onnx.NodeProto] = (
            own if outside is None else {**outside.producers, **own}
        )
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in reads(node):
                self.consumers.setdefault(name, []).append(node)

    def is_constant(self, name: str) -> bool:
        """Whether ``name`` is a value that depends on constants only."""
        return bool(name) and name in self.constants

    def array(self, name: str) -> Array:
        """A constant; see :class:`~quantkit.runtime.folding.FoldedConstants`."""
        return self.constants.array(name)

    def floats(self, name: str) -> FloatArray:
        """The same in float32."""
        return self.array(name).astype(np.float32)

    def optional(self, node: onnx.NodeProto, position: int) -> Array | None:
        """A constant input of ``node``; None where it is left out, or no constant."""
        name = str(node.input[position]) if position < len(node.input) else ""
        return self.array(name) if self.is_constant(name) else None

    def only_reader(self, value: str) -> onnx.NodeProto | None:
        """The node that alone reads ``value``."""
        users = self.consumers.get(value, [])
        return users[0] if len(users) == 1 and value not in self.outputs else None

    def whole(self, value: str, layer: str) -> str:
        """The constant that ``value`` is a part of, or is filled up from, for layer ``layer``."""
        while (maker := self.producers.get(value)) is not None and maker.name.startswith(
            f"{layer}/"
        ):
            value = str(maker.input[0])
        return value

    def rescaling(self, node: onnx.NodeProto) -> Iterator[tuple[onnx.NodeProto, str]]:
        """The nodes between a product and its bias, and last that which adds it.

        Yields:
            each with the value that it takes from the one before.
        """
        value = str(node.output[0])
        while (reader := self.only_reader(value)) is not None:
            if reader.op_type not in _RESCALING and reader.op_type != "Add":
                return
            yield reader, value
            if reader.op_type == "Add":
                return
            value = str(reader.output[0])

    def factors(self, node: onnx.NodeProto, known: str) -> FloatArray:
        """What the result of ``node``, an integer product, is multiplied by.

        Args:
            known: the scale of the activation, which is left out once. Kernels may have it under
                another name, as a number of their own.
        """
        pending = []
        for reader, value in self.rescaling(node):
            if reader.op_type == "Mul":
                pending += _others(reader, value)
        leaves = []
        while pending:
            name = pending.pop()
            maker = self.producers.get(name)
            if name != known and maker is not None and maker.op_type == "Mul":
                pending += maker.input
            elif name == known or self.is_constant(name):
                leaves.append(name)
        if known in leaves:
            leaves.remove(known)
        elif self.is_constant(known):
            step = self.floats(known)
            alike = (name for name in leaves if np.array_equal(self.floats(name), step))
            if (same := next(alike, None)) is not None:
                leaves.remove(same)
        factors = [self.floats(name) for name in leaves]
        return np.asarray(math.prod(factors[1:], start=factors[0])) if factors else _ONE

    def added(self, node: onnx.NodeProto) -> FloatArray | None:
        """The constant bias behind ``node``, flat."""
        for reader, value in self.rescaling(node):
            if reader.op_type == "Add":
                constants = [name for name in _others(reader, value) if self.is_constant(name)]
                return self.floats(constants[0]).reshape(-1) if constants else None
        return None


def _others(node: onnx.NodeProto, value: str) -> list[str]:
    """What ``node`` reads beside ``value``."""
    names = [str(name) for name in node.input]
    names.remove(value)
    return names
