"""Batches that are too short for a graph's convolutions are filled up with zeros."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from quantkit.exporting.shortest import pad_to_shortest


@pytest.mark.parametrize("samples", [0, 1, 4, 5, 9])
def test_only_short_batches_change(samples: int) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["waveform"], ["y"])],
        "test",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    pad_to_shortest(model, 5)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    waveform = np.ones((2, samples), np.float32)
    (found,) = session.run(None, {"waveform": waveform})
    assert found.shape == (2, max(5, samples))
    np.testing.assert_array_equal(found[:, :samples], waveform)
    assert not found[:, samples:].any()
