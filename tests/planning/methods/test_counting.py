"""The computed sizes, on numbers checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.planning.methods.counting import counted_bytes, float_parameters

WEIGHTS = {"a": 1000, "b": 200}


@pytest.mark.parametrize(
    ("bits", "count", "size"),
    [
        # 1000 · 5 / 8 = 625, 200 · 4 / 8 = 100, and 48 others of one byte or four.
        ({"a": 5, "b": 4}, "published", 625 + 100 + 48),
        ({"a": 5, "b": 4}, "released", 625 + 100 + 192),
        ({"a": 32, "b": 32}, "released", 4 * 1248),
        ({"a": 8, "b": 8}, "published", 1248),
        # Half bytes are counted, not stored.
        ({"a": 1, "b": 3}, "published", 125 + 75 + 48),
    ],
)
def test_worked_example(bits, count, size) -> None:
    assert counted_bytes(WEIGHTS, bits, 48, count) == size


def test_published_count_draws_wav2vec2_base_where_the_paper_has_it() -> None:
    """94.4 M parameters at 8 bits stand at 90 MiB in the paper's figure, uniform quantization."""
    size = counted_bytes({"all layers": 89_700_000}, {"all layers": 8}, 4_700_000, "published")
    assert round(size / 2**20) == 90


def test_parameters_are_float_numbers_outside_the_front_end() -> None:
    constants = {
        "w": np.zeros((3, 4), np.float32),
        "bias": np.zeros(4, np.float32),
        "shape": np.array([1, 4]),
        "frontend.window": np.zeros((1, 4), np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "frontend.window"], ["windowed"]),
            helper.make_node("MatMul", ["windowed", "w"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["sum"]),
            helper.make_node("Reshape", ["sum", "shape"], ["y"]),
        ],
        "parameters",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert float_parameters(model) == 12 + 4
