"""Small graphs for the passes, and runs of them in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

Arrays = Mapping[str, np.ndarray[Any, Any]]
Build = Callable[..., onnx.ModelProto]
Run = Callable[[onnx.ModelProto, np.ndarray[Any, Any]], np.ndarray[Any, Any]]


@pytest.fixture
def build() -> Build:
    """A model from float x to float y, of nodes and constants, at opset 18."""

    def make(
        nodes: Sequence[onnx.NodeProto], constants: Arrays, shape: Sequence[str | int | None]
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            list(nodes),
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)

    return make


@pytest.fixture
def run() -> Run:
    """The value y of a model in ONNX Runtime, with its own optimisations switched off."""

    def result(model: onnx.ModelProto, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session.run(["y"], {"x": x})[0]

    return result


@pytest.fixture
def optimised_operators(tmp_path) -> Callable[[onnx.ModelProto], list[str]]:
    """Operators that are left once ONNX Runtime has optimised a model with default options."""

    def operators(model: onnx.ModelProto) -> list[str]:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return [n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node]

    return operators
