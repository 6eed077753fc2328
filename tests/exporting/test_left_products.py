"""Products with a weight on their left become products with it on their right."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from quantkit.exporting.left_products import put_weights_right


def projection(perm: list[int]) -> onnx.ModelProto:
    """(batch, tokens, 3) to (batch, tokens, 5), as exporters write it."""
    weight = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["x"], ["columns"], "ahead", perm=perm),
        helper.make_node("MatMul", ["weight", "columns"], ["scores"], "product"),
        helper.make_node("Transpose", ["scores"], ["logits"], "behind", perm=[0, 2, 1]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "tokens", 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(weight, "weight")]
    graph = helper.make_graph(nodes, "projection", [x], [logits], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def answer(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"x": x})
    return found  # type: ignore[no-any-return]


def test_it_gives_the_same_numbers() -> None:
    model = projection([0, 2, 1])
    x = np.random.default_rng(1).standard_normal((2, 4, 3)).astype(np.float32)
    expected = answer(model, x)
    assert put_weights_right(model) == ["product reads its weight from the right"]
    (product,) = (node for node in model.graph.node if node.op_type == "MatMul")
    assert product.input[0] == "x"
    assert [node.op_type for node in model.graph.node] == ["Transpose", "MatMul"]
    np.testing.assert_allclose(answer(model, x), expected, rtol=1e-5)


def test_other_transpositions_stay() -> None:
    model = projection([2, 1, 0])
    before = model.SerializeToString()
    assert put_weights_right(model) == []
    assert model.SerializeToString() == before
