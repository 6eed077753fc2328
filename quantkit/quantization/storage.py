"""What each layer takes in the file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from quantkit.graph.layers import FoundLayer, locate_layers
from quantkit.graph.operators import lookups, operator_of
from quantkit.graph.partition import bodies, reads

# Nodes between an integer product and its result: their constants are scales and bias.
_RESCALING = frozenset({"Cast", "Mul", "Add"})

_BITS = {
    "FLOAT": 32,
    "DOUBLE": 64,
    "FLOAT16": 16,
    "BFLOAT16": 16,
    "INT64": 64,
    "UINT64": 64,
    "INT32": 32,
    "UINT32": 32,
    "INT16": 16,
    "UINT16": 16,
    "INT8": 8,
    "UINT8": 8,
    "BOOL": 8,
    "INT4": 4,
    "UINT4": 4,
    "INT2": 2,
    "UINT2": 2,
}


@dataclass(frozen=True)
class StoredLayer:
    """One layer as it lies in the file.

    Args:
        name, op: of the node that computes it there.
        shape: of the weight that the node sees.
        codec: data type of the stored weight, such as ``int8``.
        bits: per stored weight element.
        bytes: weight, scales, zero points and bias; a tensor that layers share counts once, for
            the first of them.
        tensors: names of what that counts.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    codec: str
    bits: int
    bytes: int
    tensors: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Links:
    """Who makes and who reads the values of one graph."""

    constant: set[str]
    producers: Mapping[str, onnx.NodeProto]
    consumers: Mapping[str, list[onnx.NodeProto]]

    @classmethod
    def of(cls, graph: onnx.GraphProto, outside: _Links | None = None) -> _Links:
        """Of ``graph``, which lies somewhere in that of ``outside``."""
        constant = {tensor.name for tensor in graph.initializer}
        producers = {name: node for node in graph.node for name in node.output}
        if outside is not None:
            hidden = {*producers, *constant, *(value.name for value in graph.input)}
            constant |= outside.constant - hidden
            producers = {**outside.producers, **producers}
        consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in reads(node):
                consumers.setdefault(name, []).append(node)
            if all(name in constant for name in reads(node)) and not any(bodies(node)):
                constant.update(node.output)
        return cls(constant, producers, consumers)


def stored_layers(model: onnx.ModelProto) -> list[StoredLayer]:
    """The layers of ``model`` in graph order; its weights need not be loaded."""
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    links: dict[int, _Links] = {id(graph): _Links.of(graph)}
    counted: set[str] = set()
    rows = []
    for found in locate_layers(model):
        layer = found.layer
        if id(found.graph) not in links:
            links[id(found.graph)] = _Links.of(found.graph, links[id(graph)])
        own_links = links[id(found.graph)]
        sources = _roots(found, own_links.constant, own_links.producers, own_links.consumers)
        own = sorted((sources & tensors.keys()) - counted)
        counted.update(own)
        weight = tensors.get(layer.weight)
        codec = _type_name(weight) if weight is not None else "float32"
        rows.append(
            StoredLayer(
                name=layer.name,
                op=layer.op,
                shape=layer.shape,
                codec=codec,
                bits=_BITS.get(_data_type(weight), 32) if weight is not None else 32,
                bytes=sum(tensor_bytes(tensors[name]) for name in own),
                tensors=tuple(own),
            )
        )
    return rows


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes of the packed elements of ``tensor``."""
    elements: int = math.prod(tensor.dims)
    return (elements * _BITS.get(_data_type(tensor), 8) + 7) // 8


def _roots(
    layer: FoundLayer,
    constant: set[str],
    producers: Mapping[str, onnx.NodeProto],
    consumers: Mapping[str, list[onnx.NodeProto]],
) -> set[str]:
    """Every constant that a layer and the rescaling of its result are made from."""
    found: set[str] = set()
    node = layer.node
    pending = [name for name in _own_inputs(layer) if name in constant]
    follower: onnx.NodeProto | None = node
    operator = operator_of(node)
    if operator is not None and operator.is_lookup:
        pending.extend(_row_scales(node, constant, producers, consumers))
    integer = node.op_type in ("MatMulInteger", "ConvInteger", "MatMulNBits") or (
        operator is not None and operator.adds_bias_behind
    )
    while integer and follower is not None:
        users = consumers.get(follower.output[0], [])
        follower = users[0] if len(users) == 1 and users[0].op_type in _RESCALING else None
        if follower is None:
            break
        for name in follower.input:
            if name in constant:
                pending.append(name)
            elif name in producers and producers[name].op_type == "Mul":
                # The product of the activation's scale and the weight's scales.
                pending.extend(n for n in producers[name].input if n in constant)
        if follower.op_type == "Add":
            break
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        if name in producers:
            pending.extend(n for n in producers[name].input if n)
    return found


def _own_inputs(layer: FoundLayer) -> list[str]:
    """What the node reads for this weight of it: all, unless it has several weights."""
    inputs = list(layer.node.input)
    if not layer.slot.label:
        return inputs
    own = [layer.value]
    # DynamicQuantizeLSTM has scale and zero point of each weight behind all else.
    grids = {"W": inputs[8:10], "R": inputs[10:12]}
    own += grids.get(layer.slot.label, [])
    return [*own, *inputs[3:4]] if layer.slot.has_bias else own


def _row_scales(
    node: onnx.NodeProto,
    constant: set[str],
    producers: Mapping[str, onnx.NodeProto],
    consumers: Mapping[str, list[onnx.NodeProto]],
) -> set[str]:
    """Constants that the rows looked up by ``node`` are multiplied by, where they are integers."""
    casts = consumers.get(node.output[0], [])
    if [user.op_type for user in casts] != ["Cast"]:
        return set()
    products = consumers.get(casts[0].output[0], [])
    if [user.op_type for user in products] != ["Mul"]:
        return set()
    pending = [name for name in products[0].input if name != casts[0].output[0]]
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name in constant:
            found.add(name)
        elif name in producers and producers[name].op_type in ("Unsqueeze", *lookups()):
            pending.extend(n for n in producers[name].input if n != node.input[1])
    return found


def _data_type(tensor: onnx.TensorProto) -> str:
    return str(onnx.TensorProto.DataType.Name(tensor.data_type))


def _type_name(tensor: onnx.TensorProto) -> str:
    name = _data_type(tensor).lower()
    return "float32" if name == "float" else name
