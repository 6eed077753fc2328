"""``Einsum`` with a weight becomes a product of matrices that gives the same numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.conversion.einsum_products import write_as_products

RANDOM = np.random.default_rng(0)


def model(equation: str, *shapes: tuple[int, ...], weight: bool = True) -> onnx.ModelProto:
    names = ["x", "w"]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(names, shapes, strict=True)
    ]
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    array = RANDOM.standard_normal(shapes[1]).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Einsum", names, ["y"], "product", equation=equation)],
        "graph",
        values[:1] if weight else values,
        [made],
        [numpy_helper.from_array(array, "w")] if weight else [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def result(graph: onnx.ModelProto, values: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: np.ndarray = session.run(None, {"x": values})[0]
    return found


@pytest.mark.parametrize(
    ("equation", "values", "weight"),
    [
        ("abc,cde->abde", (2, 3, 4), (4, 5, 6)),
        ("abcd,cde->abe", (2, 3, 4, 5), (4, 5, 6)),
        ("ab,bc->ac", (2, 3), (3, 4)),
        ("abcd, cdef -> abef", (2, 3, 4, 5), (4, 5, 6, 7)),
    ],
)
def test_the_numbers_stay(equation: str, values: tuple[int, ...], weight: tuple[int, ...]) -> None:
    graph = model(equation, values, weight)
    heard = RANDOM.standard_normal(values).astype(np.float32)
    expected = result(graph, heard)
    assert write_as_products(graph) == "1 Einsum with a weight is a product of matrices"
    operators = [node.op_type for node in graph.graph.node]
    assert "Einsum" not in operators
    assert operators.count("MatMul") == 1
    found = result(graph, heard)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "values", "weight"),
    [
        # The weight's axes come in another order, on the other side, or are not summed at all.
        ("abc,dce->abde", (2, 3, 4), (5, 4, 6)),
        ("abcd,dce->abe", (2, 3, 4, 5), (5, 4, 6)),
        ("abc,cde->adeb", (2, 3, 4), (4, 5, 6)),
        ("abc,bcd->abd", (2, 3, 4), (3, 4, 5)),
        ("abc,cde->abd", (2, 3, 4), (4, 5, 6)),
    ],
)
def test_other_sums_stay_as_they_are(
    equation: str, values: tuple[int, ...], weight: tuple[int, ...]
) -> None:
    graph = model(equation, values, weight)
    before = graph.SerializeToString()
    assert write_as_products(graph) == ""
    assert graph.SerializeToString() == before


def test_what_is_no_weight_stays() -> None:
    assert write_as_products(model("abc,cde->abde", (2, 3, 4), (4, 5, 6), weight=False)) == ""
