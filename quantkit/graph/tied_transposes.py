"""Weights that a graph holds twice: as they are, and transposed.

The projection onto a vocabulary is often the embedding. Exporters fold the transposition between
them away, so that the file holds both.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from onnx import TensorProto, helper

from quantkit.graph.tensors import tensor_array

# Below this, a second copy costs less than a reader's question.
_SMALLEST = 1_000_000


def tie_transposed_weights(graph: onnx.GraphProto) -> list[str]:
    """Store each large matrix once, in place; its transpose becomes a ``Transpose`` of it.

    ONNX Runtime folds the transposition when it opens the file, so nothing is slower.

    Returns:
        what was done, in words.
    """
    by_shape: dict[tuple[int, ...], list[onnx.TensorProto]] = defaultdict(list)
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2:
            by_shape[tuple(tensor.dims)].append(tensor)
    done, gone = [], set[str]()
    for shape, tensors in by_shape.items():
        if np.prod(shape) < _SMALLEST or shape[0] <= shape[1]:
            continue
        for tensor in tensors:
            for other in by_shape.get(shape[::-1], []):
                if other.name in gone:
                    continue
                if not np.array_equal(tensor_array(tensor).T, tensor_array(other)):
                    continue
                # What is looked up row by row, (tokens, width), stays as it is.
                gone.add(other.name)
                name = f"{other.name}.transposed"
                node = helper.make_node("Transpose", [tensor.name], [other.name], name)
                graph.node.insert(0, node)
                done.append(f"{other.name} is the transpose of {tensor.name}, and stored once")
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name in gone:
            del graph.initializer[place]
    return done
