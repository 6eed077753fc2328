"""Names for the nodes and values of a traced graph, for people who read a plan."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping

import onnx

# Where the tracer writes which module a node comes from, as a list of names.
_SCOPES_KEY = "pkg.torch.onnx.name_scopes"

_ROLES = {"Where": "mask", "LogSoftmax": "log_softmax"}
_WITH_WEIGHTS = frozenset(
    {"BatchNormalization", "Conv", "Gather", "LayerNormalization", "LSTM", "MatMul"}
)

#: Gives nodes, values and initializers of a graph their names.
Naming = Callable[[onnx.GraphProto], None]


def name_by_convolution(graph: onnx.GraphProto) -> None:
    """Names that count the convolutions: ``layer1.conv``, ``layer1.relu``, …, ``layer1.weight``."""
    names = _interface(graph)
    layers = sum(node.op_type == "Conv" for node in graph.node)
    layer, taken = 0, set(names)
    for node in graph.node:
        layer += node.op_type == "Conv"
        scope = f"layer{layer}" if layer else "input"
        if layer == layers and node.op_type != "Conv":
            scope = "output"
        _name_node(node, f"{scope}.{_role(node)}", names, taken)
        if node.op_type == "Conv":
            for role, value in zip(("weight", "bias"), node.input[1:], strict=False):
                names.setdefault(value, f"{scope}.{role}")
    _apply(graph, names)


def name_by_module(graph: onnx.GraphProto) -> None:
    """Names of the modules: ``encoder.layers.3.attention.q_proj`` for a layer with a weight.

    Its weight is ``encoder.layers.3.attention.q_proj.weight``; any other node is called after its
    operator, as in ``encoder.layers.3.attention.softmax``.
    """
    names = _interface(graph)
    taken = set(names)
    weights = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        scope = _scope(node)
        owns = node.op_type in _WITH_WEIGHTS and any(
            value in weights and value.rpartition(".")[0] == scope for value in node.input
        )
        base = scope if owns and scope else f"{scope}.{_role(node)}".lstrip(".")
        _name_node(node, base, names, taken)
    for tensor in graph.initializer:
        if "." in tensor.name:
            names.setdefault(tensor.name, tensor.name)
    _apply(graph, names)


def name_sizes(graph: onnx.GraphProto, names: Mapping[str, Mapping[int, str]]) -> None:
    """Give dynamic axes of inputs and outputs the names that people read.

    Args:
        names: of the axes of each value by its name; other values stay as they are.
    """
    for value in (*graph.input, *graph.output):
        for axis, name in names.get(value.name, {}).items():
            value.type.tensor_type.shape.dim[axis].dim_param = name


def _scope(node: onnx.NodeProto) -> str:
    """The module that ``node`` is a part of; empty for the outermost."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES_KEY:
            # The last one is the operator; tracers' own entries are no modules.
            scopes = [str(scope) for scope in ast.literal_eval(entry.value)[:-1]]
            return next((s for s in reversed(scopes) if not s.startswith("_")), "")
    return ""


def _interface(graph: onnx.GraphProto) -> dict[str, str]:
    """Inputs and outputs keep their names."""
    return {value.name: value.name for value in (*graph.input, *graph.output)}


def _role(node: onnx.NodeProto) -> str:
    return _ROLES.get(node.op_type, node.op_type.lower())


def _name_node(node: onnx.NodeProto, base: str, names: dict[str, str], taken: set[str]) -> None:
    for position, value in enumerate(node.output):
        name = next(name for name in _candidates(base) if name not in taken)
        taken.add(name)
        names.setdefault(value, name)
        if not position:
            node.name = name


def _candidates(base: str) -> Iterator[str]:
    yield base
    copies = 2
    while True:
        yield f"{base}{copies}"
        copies += 1


def _apply(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    counter = 0
    for tensor in graph.initializer:
        if tensor.name not in names:
            names[tensor.name] = f"constant{counter}"
            counter += 1
        tensor.name = names[tensor.name]
    for node in graph.node:
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]
