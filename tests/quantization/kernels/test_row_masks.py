"""Masks over images, row by row."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.editor import GraphEditor
from quantkit.quantization.kernels.row_masks import mask_whole_rows

CHANNELS = 6


def masked(*, columns: int = 1, point: str = "zero_point") -> onnx.ModelProto:
    """A convolution of frames and bands, bytes, a mask of frames, and floats again."""
    random = np.random.default_rng(0)
    constants = {
        "weight": random.standard_normal((CHANNELS, 1, 3, 3)).astype(np.float32),
        "scale": np.float32(0.05),
        "zero_point": np.uint8(3),
        "other_point": np.uint8(4),
        "places": np.arange(5).reshape(1, 1, 5, 1).repeat(columns, 3),
    }
    nodes = [
        helper.make_node("Less", ["places", "lengths"], ["inside"]),
        helper.make_node("Conv", ["x", "weight"], ["h"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "scale", "zero_point"], ["q"], "round"),
        helper.make_node("Where", ["inside", "q", point], ["m"], "mask"),
        helper.make_node("DequantizeLinear", ["m", "scale", "zero_point"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "masked",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 5, 4]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch", 1, 1, 1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model: onnx.ModelProto) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((3, 1, 5, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    lengths = np.array([5, 2, 0]).reshape(3, 1, 1, 1)
    return np.asarray(session.run(None, {"x": x, "lengths": lengths})[0])


def rewritten(model: onnx.ModelProto) -> bool:
    before = [node.op_type for node in model.graph.node]
    editor = GraphEditor(model)
    mask_whole_rows(editor)
    editor.finish()
    return [node.op_type for node in model.graph.node] != before


def test_rows_are_masked_with_the_same_bytes() -> None:
    model = masked()
    before = run(model)
    assert before[0].any()
    assert not before[2].any()
    assert rewritten(model)
    assert np.array_equal(run(model), before)
    (mask,) = (node for node in model.graph.node if node.op_type == "Where")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    (info,) = (each for each in inferred.graph.value_info if each.name == mask.output[0])
    # (batch, rows, columns · channels)
    assert len(info.type.tensor_type.shape.dim) == 3


@pytest.mark.parametrize("settings", [{"columns": 4}, {"point": "other_point"}])
def test_other_masks_stay(settings: dict[str, object]) -> None:
    assert not rewritten(masked(**settings))  # type: ignore[arg-type]
