"""Size breakdown of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import onnx

from quantkit.graph.artifact import load_model, total_size
from quantkit.graph.layers import FRONTEND_PREFIX
from quantkit.graph.operators import operators
from quantkit.graph.partition import bodies
from quantkit.quantization.float16_vectors import WIDE
from quantkit.quantization.storage import stored_layers, tensor_bytes

Kind = Literal[
    "weights",
    "scales",
    "tables",
    "biases",
    "constants",
    "decoders",
    "front end",
    "metadata",
    "graph",
]

#: Description of each kind of bytes.
MEANINGS: Mapping[Kind, str] = {
    "weights": "what the model has learned, packed",
    "scales": "the scale and zero point of each channel",
    "tables": "levels of codebooks, and look-up tables for unpacking",
    "biases": "one number for each output of a layer",
    "constants": "all other numbers, of layers that are not quantized",
    "decoders": "the operators that unpack the weights while the model loads",
    "front end": "what turns audio into features",
    "metadata": "labels, licence, and the plan itself",
    "graph": "the order of computing, with names and shapes",
}

# Names of shared constants of decoders, and of the codecs' tables.
_SHARED_TABLE, _OWN_TABLE = "decode.", ".tables"

# Positions of scales and zero points, and of biases, by operator.
_SCALES = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "MatMulInteger": (2, 3),
    "ConvInteger": (2, 3),
    "MatMulNBits": (2, 3),
    "GatherBlockQuantized": (2, 3),
    "Mul": (0, 1),
    "DynamicQuantizeLSTM": (8, 9, 10, 11),
}
_BIASES = {
    **{each.name: (each.bias_input,) for each in operators() if each.bias_input is not None},
    "DynamicQuantizeLSTM": (3,),
    "Add": (0, 1),
}

#: Readers of a value, with the input position.
_Uses = Mapping[str, Sequence[tuple[onnx.NodeProto, int]]]


@dataclass(frozen=True)
class Part:
    """One kind of bytes in a file.

    Args:
        kind: what they are.
        bytes: how many.
    """

    kind: Kind
    bytes: int

    @property
    def meaning(self) -> str:
        """Description of the kind."""
        return MEANINGS[self.kind]


def anatomy(path: Path) -> tuple[Part, ...]:
    """The parts of the model at ``path``, largest first; their sum is the file size.

    Names and shapes of tensors count as graph, like everything outside tensor data.

    Raises:
        ModelError: the file is damaged.
    """
    model = load_model(path)
    graph = model.graph
    uses: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    constant = {tensor.name for tensor in graph.initializer}
    taken: Counter[Kind] = Counter()
    for node in graph.node:
        for inner, position, name in _reads(node):
            uses.setdefault(name, []).append((inner, position))
        if node.name.startswith(FRONTEND_PREFIX):
            taken["front end"] += node.ByteSize()
        elif not any(bodies(node)) and all(name in constant for name in node.input if name):
            constant.update(node.output)
            taken["decoders"] += node.ByteSize()
    in_layers = {name for layer in stored_layers(model) for name in layer.tensors}
    for tensor in graph.initializer:
        taken[_kind(tensor, uses, tensor.name in in_layers)] += tensor_bytes(tensor)
    taken["metadata"] = sum(entry.ByteSize() for entry in model.metadata_props)
    taken["graph"] = total_size(path) - taken.total()
    order = sorted(get_args(Kind), key=lambda kind: -taken[kind])
    return tuple(Part(kind, taken[kind]) for kind in order if taken[kind])


def _reads(node: onnx.NodeProto) -> Iterator[tuple[onnx.NodeProto, int, str]]:
    """Each input of ``node`` and of those in its bodies, by name."""
    for position, name in enumerate(node.input):
        yield node, position, name
    for body in bodies(node):
        for inner in body.node:
            yield from _reads(inner)


def _kind(tensor: onnx.TensorProto, uses: _Uses, in_layer: bool) -> Kind:
    name, users = str(tensor.name), _users(tensor.name, uses)
    if users and all(node.name.startswith(FRONTEND_PREFIX) for node, _ in users):
        return "front end"
    if name.startswith(_SHARED_TABLE) or name.endswith(_OWN_TABLE):
        return "tables"
    grids = ("QuantizeLinear", "DequantizeLinear")
    if _stands_at(users, {op: _SCALES[op] for op in grids}):
        return "scales"
    if not in_layer:
        return "constants"
    if _stands_at(users, _SCALES):
        return "scales"
    if not tensor.dims:
        return "constants"  # used by a decoder and by the model itself
    made = [output for node, _ in users if node.op_type in grids for output in node.output]
    biased = [use for value in made for use in uses.get(value, [])]
    return "biases" if _stands_at([*users, *biased], _BIASES) else "weights"


def _users(name: str, uses: _Uses) -> Sequence[tuple[onnx.NodeProto, int]]:
    """The readers of a constant, or of the vector that is rebuilt from it."""
    found = uses.get(name, [])
    for node, _ in found:
        if node.op_type == "Cast":
            for product, _ in uses.get(node.output[0], []):
                if product.output[0].startswith(WIDE):
                    return uses.get(product.output[0], [])
    return found


def _stands_at(
    users: Sequence[tuple[onnx.NodeProto, int]], positions: Mapping[str, Sequence[int]]
) -> bool:
    return any(position in positions.get(node.op_type, ()) for node, position in users)
