"""A recogniser of a few nodes: its log-probabilities are its first features, scaled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.text.labels import Labels

LABELS = Labels(("_", "a", "b"))


def tiny_model(info: ArtifactInfo) -> onnx.ModelProto:
    """(batch, frames, 40) → the first three bands of every frame, one output frame per frame."""
    graph = helper.make_graph(
        [
            helper.make_node("Slice", ["features", "from", "to", "axis"], ["picked"]),
            helper.make_node("LogSoftmax", ["picked"], ["log_probs"]),
            helper.make_node("Identity", ["lengths"], ["output_lengths"]),
        ],
        "tiny",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "frames", 40]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["batch", "frames", 3]),
            helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            numpy_helper.from_array(np.array([value]), name)
            for name, value in (("from", 0), ("to", 3), ("axis", 2))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    set_info(model, info)
    return model


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    save_model(tiny_model(ArtifactInfo(labels=LABELS, frontend=Frontend(), task="ctc")), path)
    return path


@pytest.fixture
def anonymous(tmp_path: Path) -> Path:
    """The same graph without metadata."""
    path = tmp_path / "anonymous.onnx"
    save_model(tiny_model(ArtifactInfo()), path)
    return path
