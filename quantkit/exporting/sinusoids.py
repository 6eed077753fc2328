"""Whisper's positions of the encoder, computed instead of stored.

They are no weights but sinusoids (Radford et al. 2022, section 2.2), 3 MB of them in a base model.
From the times and the frequencies they are made by ``Mul``, ``Sin`` and ``Cos``, which ONNX Runtime
folds while it loads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quantkit.graph.tensors import tensor_array
from quantkit.models.whisper.positions import frequencies, sinusoids

_NAME = "embed_positions.weight"
# Of the sine of angles up to 1,500 in single precision.
_TOLERANCE = 5e-4


def compute_positions(graph: onnx.GraphProto) -> None:
    """Replace the positions of the encoder by nodes, in place, where they are sinusoids.

    A model that was trained with positions of its own keeps them, and one without has none.
    """
    tensor = next((each for each in graph.initializer if each.name == _NAME), None)
    if tensor is None:
        return
    stored = tensor_array(tensor)
    length, channels = stored.shape
    if channels % 2 or np.abs(stored - sinusoids(length, channels)).max() > _TOLERANCE:
        return
    graph.initializer.remove(tensor)
    parts = {"start": np.float32(0), "length": np.float32(length), "step": np.float32(1)}
    for role, value in parts.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value), f"{_NAME}.{role}"))
    table = frequencies(channels)
    graph.initializer.append(numpy_helper.from_array(table, f"{_NAME}.frequencies"))
    graph.initializer.append(numpy_helper.from_array(np.array([1]), f"{_NAME}.axis"))

    def node(op: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(op, inputs, [output], output, **attributes)

    made = [
        node("Range", [f"{_NAME}.{role}" for role in parts], f"{_NAME}.times"),
        node("Unsqueeze", [f"{_NAME}.times", f"{_NAME}.axis"], f"{_NAME}.column"),
        node("Mul", [f"{_NAME}.column", f"{_NAME}.frequencies"], f"{_NAME}.angles"),
        node("Sin", [f"{_NAME}.angles"], f"{_NAME}.sines"),
        node("Cos", [f"{_NAME}.angles"], f"{_NAME}.cosines"),
        node("Concat", [f"{_NAME}.sines", f"{_NAME}.cosines"], _NAME, axis=1),
    ]
    for each in reversed(made):
        graph.node.insert(0, each)
