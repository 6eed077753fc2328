"""Find the layers whose weights can be quantized, in float and in quantized graphs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from quantkit.graph.operators import Operator, Slot, operator_of
from quantkit.graph.partition import bodies, reads
from quantkit.graph.tensors import tensor_array

# Nodes of a fused front end carry this prefix; their tables are not weights of the model.
FRONTEND_PREFIX = "frontend."

#: Where each operator of a quantized graph keeps its weight, and for recurrent ones what tells them
#: apart.
_QUANTIZED: Mapping[str, tuple[Slot, ...]] = {
    "ConvInteger": (Slot((1,)),),
    "MatMulInteger": (Slot((1,)),),
    "MatMulIntegerToFloat": (Slot((1,)),),
    "QLinearConv": (Slot((3,)),),
    "QLinearMatMul": (Slot((3,)),),
    "QGemm": (Slot((3,)),),
    "DynamicQuantizeMatMul": (Slot((1,)),),
    "MatMulNBits": (Slot((1,)),),
    "GatherBlockQuantized": (Slot((0,)),),
    "DynamicQuantizeLSTM": (Slot((1,), "W"), Slot((2,), "R", has_bias=False)),
}
_QUANTIZED_BIASES = {
    "QLinearConv": 8,
    "QGemm": 6,
    "DynamicQuantizeLSTM": 3,
    "MatMulIntegerToFloat": 6,
}
# Of the quantized ones, those that have a bias behind them, if they have one.
_UNBIASED = frozenset({"GatherBlockQuantized"})

# What may stand between a quantized product and the Add of its bias.
_RESCALING = ("Cast", "Mul", "QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Layer:
    """One constant weight of a node, such as a convolution, or one of the two of an LSTM.

    Args:
        index: position among the layers, in graph order, from 0.
        name: node name; the name of its first output where a foreign graph has none. A node with
            two weights is two layers: ``rnn.W`` and ``rnn.R``.
        op: operator of the node, such as ``Conv`` or ``ConvInteger``.
        weight: name of the stored tensor that the weight is made of.
        shape: shape of the weight as the node sees it.
        parameters: elements of weight and bias.
    """

    index: int
    name: str
    op: str
    weight: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class FoundLayer:
    """A layer, and where the graph has it.

    Args:
        node: computes it; in a body of control flow, or in the main graph.
        slot: which of the node's weights it is.
        value: name of the weight as the node reads it.
        top: the node of the main graph that it lies in; ``node`` itself for most.
        graph: that the node stands in.
    """

    layer: Layer
    node: onnx.NodeProto
    slot: Slot
    value: str
    top: onnx.NodeProto
    graph: onnx.GraphProto


def find_layers(model: onnx.ModelProto) -> list[Layer]:
    """The quantizable layers of all graphs of ``model``, in graph order.

    A weight counts as constant when everything that it is computed from is constant, so weights
    behind DequantizeLinear, Cast, Transpose or a whole decoding subgraph are found too. One whose
    shape cannot be inferred is no layer.
    """
    return [found.layer for found in locate_layers(model)]


def locate_layers(model: onnx.ModelProto) -> list[FoundLayer]:
    """The same, each with its place."""
    finder = _Finder(model, model.graph)
    finder.search()
    return finder.found


class _Finder:
    def __init__(
        self, model: onnx.ModelProto, graph: onnx.GraphProto, outside: _Finder | None = None
    ) -> None:
        self.model, self.graph, self.outside = model, graph, outside
        self.found: list[FoundLayer] = [] if outside is None else outside.found
        self.names: set[str] = set() if outside is None else outside.names
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.producers = {name: node for node in graph.node for name in node.output}
        self.constants = set(self.initializers)
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        self.inferred: dict[str, tuple[int, ...]] | None = None
        if outside is not None:
            own = {*self.producers, *self.initializers, *(value.name for value in graph.input)}
            # A name of the body hides the same name outside.
            self.constants |= outside.constants - own
            self.initializers = {**outside.initializers, **self.initializers}
            self.producers = {**outside.producers, **self.producers}
        for node in graph.node:
            for name in reads(node):
                self.consumers.setdefault(name, []).append(node)
            if self._is_constant(node):
                self.constants.update(node.output)

    def _is_constant(self, node: onnx.NodeProto) -> bool:
        return all(name in self.constants for name in reads(node)) and not any(bodies(node))

    def search(self, top: onnx.NodeProto | None = None) -> None:
        for node in self.graph.node:
            if node.name.startswith(FRONTEND_PREFIX):
                continue
            for body in bodies(node):
                _Finder(self.model, body, self).search(top or node)
            if all(name in self.constants for name in node.output if name):
                continue
            operator = operator_of(node)
            for slot in _QUANTIZED.get(node.op_type, ()) if operator is None else operator.slots:
                value = self._weight_value(node, slot)
                if value is None:
                    continue
                value = self._whole(node, value)
                if self._is_another_product(node, value):
                    continue
                stored, shape = self._stored(value), self._shape(value)
                if shape is None or (operator is not None and not operator.accepts(shape)):
                    continue
                bias = self._bias_size(node, operator) if slot.has_bias else 0
                layer = Layer(
                    index=len(self.found),
                    name=self._free(slot.layer_name(node)),
                    op=node.op_type,
                    weight=stored,
                    shape=shape,
                    parameters=math.prod(shape) + bias,
                )
                self.found.append(FoundLayer(layer, node, slot, value, top or node, self.graph))

    def _free(self, name: str) -> str:
        """``name``; with a number behind it where a node of another graph has it already."""
        if self.outside is None:
            self.names.add(name)
            return name
        free, number = name, 1
        while free in self.names:
            number += 1
            free = f"{name}.{number}"
        self.names.add(free)
        return free

    def _weight_value(self, node: onnx.NodeProto, slot: Slot) -> str | None:
        for position in slot.positions:
            name = str(node.input[position]) if position < len(node.input) else ""
            if name and name in self.constants:
                return name
        return None

    def _whole(self, node: onnx.NodeProto, value: str) -> str:
        """The weight that ``value`` is a part of, where the kernel of ``node`` multiplies parts."""
        owner = node.name.rpartition("/")[0]
        # Names of others have slashes, too, which stand for modules and not for parts of a layer.
        own = tuple(
            f"{name}/" for name in (node.name, owner) if name == node.name or self._is(name)
        )
        while (maker := self.producers.get(value)) is not None and maker.name.startswith(own):
            value = str(maker.input[0])
        return value

    def _is_another_product(self, node: onnx.NodeProto, value: str) -> bool:
        """Whether ``node`` multiplies by parts of the weight of a layer that was found before."""
        owner = node.name.rpartition("/")[0]
        return any(each.layer.name == owner and each.value == value for each in self.found)

    def _is(self, name: str) -> bool:
        """Whether a layer of that name was found."""
        return any(each.layer.name == name for each in reversed(self.found))

    def _stored(self, value: str) -> str:
        """The tensor at the root of a constant value, along first inputs."""
        while value not in self.initializers:
            node = self.producers[value]
            constant_inputs = [name for name in node.input if name]
            if not constant_inputs:
                break
            value = constant_inputs[0]
        return value

    def _shape(self, value: str) -> tuple[int, ...] | None:
        if value in self.initializers:
            return tuple(self.initializers[value].dims)
        node = self.producers[value]
        if node.op_type in ("DequantizeLinear", "Cast", "Identity"):
            return self._shape(node.input[0])
        if node.op_type == "Constant":
            tensors = [a.t for a in node.attribute if a.name == "value"]
            return tuple(tensors[0].dims) if tensors else None
        if node.op_type == "Transpose":
            inner = self._shape(node.input[0])
            order = next((a.ints for a in node.attribute if a.name == "perm"), None)
            if inner is None or (order and sorted(order) != list(range(len(inner)))):
                return None
            return tuple(inner[i] for i in order) if order else inner[::-1]
        known = node.domain in ("", "ai.onnx") and node.op_type == "Reshape"
        if known and node.input[1] in self.initializers:
            # Decoders of packed weights end like this, and their other shapes take long to infer.
            sizes = tuple(map(int, tensor_array(self.initializers[node.input[1]]).tolist()))
            if sizes and min(sizes) > 0:
                return sizes
        return self._inferred_shape(value)

    def _inferred_shape(self, value: str) -> tuple[int, ...] | None:
        if self.outside is not None:
            return self.outside._inferred_shape(value)
        if self.inferred is None:
            self.inferred = {}
            for info in self._inference():
                dims = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
                if dims and all(dims):
                    self.inferred[info.name] = tuple(dims)
        return self.inferred.get(value)

    def _inference(self) -> Sequence[onnx.ValueInfoProto]:
        # Shape inference copies the model through protobuf, so the large tensors stay behind.
        light = onnx.ModelProto()
        light.ir_version = self.model.ir_version
        light.opset_import.extend(self.model.opset_import)
        graph = light.graph
        graph.name = "constants"
        for tensor in self.model.graph.initializer:
            if math.prod(tensor.dims) <= 64:
                graph.initializer.append(tensor)
            else:
                graph.input.append(
                    onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
                )
        # Of operators in no set that the model names, nobody knows what they make.
        named = {opset.domain for opset in light.opset_import}
        domains = {*named, ""} if "ai.onnx" in named else named
        for node in self.model.graph.node:
            if node.output[0] in self.constants and node.domain in domains:
                graph.node.append(node)
        try:
            inferred = onnx.shape_inference.infer_shapes(light, data_prop=True)
        except (onnx.shape_inference.InferenceError, ValueError):
            # What is wrong with the graph, the runtime says.
            return []
        return list(inferred.graph.value_info)

    def _bias_size(self, node: onnx.NodeProto, operator: Operator | None) -> int:
        position = _QUANTIZED_BIASES.get(node.op_type) if operator is None else operator.bias_input
        if position is not None:
            if len(node.input) <= position or node.input[position] not in self.constants:
                return 0
            return math.prod(self._shape(node.input[position]) or (0,))
        behind = node.op_type not in _UNBIASED if operator is None else operator.adds_bias_behind
        follower = self._only_consumer(node) if behind else None
        while follower is not None and follower.op_type in _RESCALING:
            follower = self._only_consumer(follower)
        if follower is None or follower.op_type != "Add":
            return 0
        for name in follower.input:
            if name in self.constants:
                return math.prod(self._shape(name) or (0,))
        return 0

    def _only_consumer(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        users = self.consumers.get(node.output[0], [])
        return users[0] if len(users) == 1 else None
