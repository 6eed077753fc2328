"""Graphs written node by node, as exporters write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_TYPES = {"f": TensorProto.FLOAT, "i": TensorProto.INT32, "l": TensorProto.INT64}


class GraphWriter:
    """Collects nodes and constants."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        names = output.split()
        self.nodes.append(helper.make_node(op, list(inputs), names, f"/{names[0]}", **attributes))
        return names[0]

    def weight(self, name: str, *shape: int, gain: float = 1.0) -> str:
        values = gain * self.random.standard_normal(shape) / np.sqrt(shape[-2])
        return self.constant(name, values.astype(np.float32))

    def constant(self, name: str, values: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def save(
        self,
        path: Path,
        inputs: Mapping[str, tuple[str, Sequence[int | str]]],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        given, made = (
            [
                helper.make_tensor_value_info(name, _TYPES[t], shape)
                for name, (t, shape) in v.items()
            ]
            for v in (inputs, outputs)
        )
        graph = helper.make_graph(self.nodes, path.stem, given, made, self.constants)
        opset = helper.make_opsetid("", 17)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        helper.set_model_props(model, dict(metadata or {}))
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, path)
