"""A matrix that a graph holds twice is stored once."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.tied_transposes import tie_transposed_weights

TOKENS, WIDTH = 20_000, 64


def projected_embedding(projection: np.ndarray, embedding: np.ndarray) -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["embedding", "tokens"], ["hidden"], "look_up"),
            helper.make_node("MatMul", ["hidden", "projection"], ["logits"], "project"),
        ],
        "graph",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["count"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["count", TOKENS])],
        [
            numpy_helper.from_array(projection, "projection"),
            numpy_helper.from_array(embedding, "embedding"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (logits,) = session.run(None, {"tokens": np.array([3, 19_999])})
    return logits


def test_the_projection_reads_the_embedding() -> None:
    embedding = np.random.default_rng(0).standard_normal((TOKENS, WIDTH), np.float32)
    model = projected_embedding(np.ascontiguousarray(embedding.T), embedding)
    before = run(model)
    assert tie_transposed_weights(model.graph) == [
        "projection is the transpose of embedding, and stored once"
    ]
    assert [tensor.name for tensor in model.graph.initializer] == ["embedding"]
    np.testing.assert_array_equal(run(model), before)


def test_another_matrix_of_that_shape_stays() -> None:
    embedding = np.random.default_rng(0).standard_normal((TOKENS, WIDTH), np.float32)
    other = np.ascontiguousarray(embedding.T)
    other[5, 7] += 1e-6
    model = projected_embedding(other, embedding)
    assert tie_transposed_weights(model.graph) == []
    assert len(model.graph.initializer) == 2
