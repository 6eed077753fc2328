"""What ONNX Runtime's profiler says about nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.runtime.node_times import durations, node_milliseconds

RUN = {"name": "model_run", "ts": 100, "dur": 50}


def kernel(name: str, start: int, microseconds: int) -> dict[str, object]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": start, "dur": microseconds}


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A large matrix product, and a sum that takes next to nothing."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weight"], ["wide"], "product"),
            helper.make_node("ReduceSum", ["wide"], ["y"], "sum", keepdims=0),
        ],
        "product",
        [value("x", TensorProto.FLOAT, [300, 500])],
        [value("y", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(np.ones((500, 700), np.float32), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "product.onnx")
    return tmp_path / "product.onnx"


def test_every_node_is_timed(product: Path) -> None:
    taken = node_milliseconds(product, {"x": np.ones((300, 500), np.float32)}, runs=3)
    assert sorted(taken) == ["product", "sum"]
    assert taken["product"] > taken["sum"] >= 0


def test_kernels_of_other_runs_do_not_count() -> None:
    events = [kernel("a", 90, 5), kernel("a", 105, 10), kernel("a", 160, 30)]
    assert durations(RUN, events) == {"a": 10}


def test_a_node_that_runs_twice_counts_twice() -> None:
    assert durations(RUN, [kernel("a", 100, 10), kernel("a", 120, 5)]) == {"a": 15}


def test_a_node_with_a_subgraph_counts_as_a_whole() -> None:
    events = [kernel("inner", 102, 3), kernel("loop", 100, 20), kernel("after", 120, 7)]
    assert durations(RUN, events) == {"loop": 20, "after": 7}


def test_a_file_that_does_not_load_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"broken\.onnx is not an ONNX model"):
        node_milliseconds(tmp_path / "broken.onnx", {})
