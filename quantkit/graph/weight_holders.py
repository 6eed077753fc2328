"""What holds the weights of a graph: its layers, and operators that are none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from quantkit.errors import ModelError
from quantkit.graph.layers import FoundLayer, locate_layers
from quantkit.graph.partition import bodies
from quantkit.graph.tensors import tensor_array

# Of fewer elements are scales, biases and tables of an operator's own.
_FEWEST = 256
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def weight_holders(model: onnx.ModelProto) -> dict[str, int]:
    """Operators that read constant matrices and are no layers, and how many numbers those have.

    Called as ``domain:operator``, the domain of standard operators left out; most numbers first.
    """
    return _holders(model, locate_layers(model))


def _holders(model: onnx.ModelProto, found: Sequence[FoundLayer]) -> dict[str, int]:
    layers = {each.layer.weight for each in found}
    layers |= {each.value for each in found}
    holders: dict[str, int] = {}
    seen: set[str] = set()
    for node, sizes in _reading(model.graph, {}):
        for name, size in sizes.items():
            if name not in layers and name not in seen:
                seen.add(name)
                operator = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
                holders[operator] = holders.get(operator, 0) + size
    return dict(sorted(holders.items(), key=lambda each: -each[1]))


def held_in_words(model: onnx.ModelProto) -> tuple[str, ...]:
    """A line about weights that cannot be quantized; none where there are none.

    Those of layers are not among them, and neither are those of standard operators as long as they
    are few: tables of positions, windows of a transform.
    """
    found = locate_layers(model)
    layers = sum(each.layer.parameters for each in found)
    holders = {
        name: size
        for name, size in _holders(model, found).items()
        if ":" in name or size > layers // 10
    }
    if not holders:
        return ()
    listed = ", ".join(f"{name} ({size:,})" for name, size in list(holders.items())[:5])
    # Which layout these have depends on the processor that the file was saved on.
    nchwc = any(name.startswith("com.microsoft.nchwc:") for name in holders)
    advice = "; let ONNX Runtime save it at level `extended`, not `all`" if nchwc else ""
    return (f"operators that cannot be quantized hold weights: {listed}{advice}",)


def require_finite_weights(model: onnx.ModelProto, origin: Path) -> None:
    """No weight of a layer is infinite or no number.

    Raises:
        ModelError: one is; the message names the layer.
    """
    tensors = {tensor.name: tensor for tensor in _initializers(model.graph)}
    for found in locate_layers(model):
        tensor = tensors.get(found.layer.weight)
        if tensor is None or tensor.data_type not in _FLOATS:
            continue
        values = tensor_array(tensor)
        # A sum is finite only if all terms are, and needs no array of flags.
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sum(values, dtype=np.float64)
        if not np.isfinite(total):
            broken = int(np.count_nonzero(~np.isfinite(values.astype(np.float32))))
            if broken:
                raise ModelError(
                    f"{origin}: layer {found.layer.name} has weights that are no finite numbers "
                    f"({broken:,} of {values.size:,}); train or export it anew"
                )


def _initializers(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for body in bodies(node):
            yield from _initializers(body)


def _reading(
    graph: onnx.GraphProto, outside: Mapping[str, int]
) -> Iterator[tuple[onnx.NodeProto, dict[str, int]]]:
    """Each node, with the constant matrices that it reads itself and their sizes."""
    known = dict(outside)
    for tensor in graph.initializer:
        size = math.prod(tensor.dims)
        large = len(tensor.dims) > 1 and size >= _FEWEST and tensor.data_type in _FLOATS
        known |= {tensor.name: size} if large else {}
    for node in graph.node:
        # What only shows a weight to others in another form.
        read = {name: known[name] for name in node.input if name in known}
        if node.op_type in ("Transpose", "Identity", "Cast", "Reshape") and read:
            known |= dict.fromkeys(node.output, next(iter(read.values())))
            continue
        yield node, read
        for body in bodies(node):
            yield from _reading(body, known)
