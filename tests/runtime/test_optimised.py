"""What ONNX Runtime makes of a graph."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.runtime.optimised import optimised_graph

WEIGHT = np.ones((8, 8, 3), np.int8)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A convolution whose int8 weight is unpacked by the graph itself."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["stored"], ["unpacked"], to=TensorProto.FLOAT),
            helper.make_node("Conv", ["x", "unpacked"], ["convolved"], "conv"),
            helper.make_node("Relu", ["convolved"], ["y"]),
        ],
        "packed",
        [value("x", TensorProto.FLOAT, ["batch", 8, "frames"])],
        [value("y", TensorProto.FLOAT, ["batch", 8, "shorter"])],
        [numpy_helper.from_array(WEIGHT, "stored")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "packed.onnx")
    return tmp_path / "packed.onnx"


def test_nodes_are_fused_and_constants_folded(packed: Path) -> None:
    graph = optimised_graph(packed)
    assert [node.op_type for node in graph.node] == ["FusedConv"]
    (weight,) = graph.initializer
    assert weight.data_type == TensorProto.FLOAT
    assert math.prod(weight.dims) == WEIGHT.size


def test_nothing_is_left_beside_the_model(packed: Path) -> None:
    optimised_graph(packed)
    assert [path.name for path in packed.parent.iterdir()] == ["packed.onnx"]


def test_a_file_that_does_not_load_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"broken\.onnx is not an ONNX model"):
        optimised_graph(tmp_path / "broken.onnx")
