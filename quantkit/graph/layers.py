"""Find the layers whose weights can be quantized, in float and in quantized graphs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

# Nodes of a fused front end carry this prefix; their tables are not weights of the model.
FRONTEND_PREFIX = "frontend."

#: Where each operator of a float graph keeps its weight. MatMul may have it on either side.
WEIGHT_INPUTS: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (1,),
    "MatMul": (1, 0),
    "Gather": (0,),
}
_QUANTIZED_WEIGHT_INPUTS: Mapping[str, tuple[int, ...]] = {
    "ConvInteger": (1,),
    "MatMulInteger": (1,),
    "QLinearConv": (3,),
    "QLinearMatMul": (3,),
    "DynamicQuantizeMatMul": (1,),
    "MatMulNBits": (1,),
    "GatherBlockQuantized": (0,),
}
_BIAS_INPUTS = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2, "QLinearConv": 8}

# What may stand between a quantized product and the Add of its bias.
_RESCALING = ("Cast", "Mul", "QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Layer:
    """One Conv, MatMul, Gemm or embedding Gather with a constant weight.

    Args:
        index: position among the layers, in graph order, from 0.
        name: node name; the name of its first output where a foreign graph has none.
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


def find_layers(model: onnx.ModelProto) -> list[Layer]:
    """The quantizable layers of the main graph, in graph order.

    A weight counts as constant when everything that it is computed from is constant, so weights
    behind DequantizeLinear, Cast, Transpose or a whole decoding subgraph are found too.
    """
    return _Finder(model).layers()


class _Finder:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        graph = model.graph
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.producers = {name: node for node in graph.node for name in node.output}
        self.constants = set(self.initializers)
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        self.inferred: dict[str, tuple[int, ...]] | None = None
        for node in graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)
            if all(name in self.constants for name in node.input if name):
                self.constants.update(node.output)

    def layers(self) -> list[Layer]:
        found: list[Layer] = []
        for node in self.model.graph.node:
            if node.name.startswith(FRONTEND_PREFIX) or node.output[0] in self.constants:
                continue
            value = self._weight_value(node)
            if value is None:
                continue
            stored, shape = self._stored(value), self._shape(value)
            if shape is None or (node.op_type == "Gather" and len(shape) != 2):
                continue
            found.append(
                Layer(
                    index=len(found),
                    name=node.name or node.output[0],
                    op=node.op_type,
                    weight=stored,
                    shape=shape,
                    parameters=math.prod(shape) + self._bias_size(node),
                )
            )
        return found

    def _weight_value(self, node: onnx.NodeProto) -> str | None:
        positions = WEIGHT_INPUTS.get(node.op_type) or _QUANTIZED_WEIGHT_INPUTS.get(node.op_type)
        for position in positions or ():
            name = str(node.input[position]) if position < len(node.input) else ""
            if name in self.constants:
                return name
        return None

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
            if inner is None:
                return None
            return tuple(inner[i] for i in order) if order else inner[::-1]
        return self._inferred_shape(value)

    def _inferred_shape(self, value: str) -> tuple[int, ...] | None:
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
        for node in self.model.graph.node:
            if node.output[0] in self.constants:
                graph.node.append(node)
        inferred = onnx.shape_inference.infer_shapes(light, data_prop=True)
        return list(inferred.graph.value_info)

    def _bias_size(self, node: onnx.NodeProto) -> int:
        position = _BIAS_INPUTS.get(node.op_type)
        if position is not None:
            if len(node.input) <= position or node.input[position] not in self.constants:
                return 0
            return math.prod(self._shape(node.input[position]) or (0,))
        if node.op_type == "Gather":
            return 0
        follower = self._only_consumer(node)
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
