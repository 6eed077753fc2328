"""Graphs that compute the same have the same digest, wherever their weights lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.artifact import open_model, save_model
from quantkit.graph.digest import graph_digest


def adding(value: float) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.full(600, value, np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "weight"], ["y"])],
        "adding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [600])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [600])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_weights_may_be_in_memory_in_the_file_or_beside_it(tmp_path: Path) -> None:
    save_model(adding(1.0), tmp_path / "whole.onnx")
    save_model(adding(1.0), tmp_path / "beside.onnx", external_threshold=0)
    found = {
        graph_digest(adding(1.0)),
        graph_digest(open_model(tmp_path / "whole.onnx")),
        graph_digest(open_model(tmp_path / "beside.onnx")),
    }
    assert len(found) == 1


def test_another_weight_is_another_graph_and_metadata_is_none() -> None:
    named = adding(1.0)
    named.metadata_props.add(key="name", value="other")
    assert graph_digest(named) == graph_digest(adding(1.0))
    assert graph_digest(adding(2.0)) != graph_digest(adding(1.0))
