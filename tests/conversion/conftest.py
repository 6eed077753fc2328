"""Small graphs, and a comparison of two of them in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.conversion.parity import difference
from quantkit.runtime.session import session_options

Runs = Callable[..., list[np.ndarray]]


def graph_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str] | None],
    outputs: Sequence[str],
    constants: Mapping[str, Any] | None = None,
    opset: int = 18,
    types: Mapping[str, int] | None = None,
    ir_version: int = 8,
) -> onnx.ModelProto:
    """A model; inputs and outputs are of float32 unless ``types`` says otherwise."""
    info, kinds = helper.make_tensor_value_info, types or {}
    graph = helper.make_graph(
        list(nodes),
        "g",
        [info(name, kinds.get(name, TensorProto.FLOAT), s) for name, s in inputs.items()],
        [info(name, kinds.get(name, TensorProto.FLOAT), None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()],
    )
    domains = {"": opset} | {node.domain: 1 for node in nodes if node.domain}
    imports = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    model = helper.make_model(graph, opset_imports=imports)
    model.ir_version = ir_version
    return model


@pytest.fixture
def run() -> Runs:
    """All outputs of a model for inputs by name."""

    def outputs(model: onnx.ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
        )
        found: list[np.ndarray] = session.run(None, inputs)
        return found

    return outputs


def worst(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
    """The largest difference of any output."""
    return max(difference(a, b) for a, b in zip(before, after, strict=True))
