"""Masks on the integer grid."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.editor import GraphEditor
from quantkit.quantization.kernels.masks import integer_masks

CONSTANTS = {
    "zero": np.float32(0),
    "scale": np.float32(0.05),
    "zero_point": np.uint8(120),
    "inside": np.arange(7) < 4,
}


def masked_and_rounded(*more: onnx.NodeProto) -> onnx.ModelProto:
    grid = ["scale", "zero_point"]
    nodes = [
        helper.make_node("Where", ["inside", "x", "zero"], ["h"], "mask"),
        helper.make_node("QuantizeLinear", ["h", *grid], ["q"], "round"),
        helper.make_node("DequantizeLinear", ["q", *grid], ["d"]),
        *more,
    ]
    if not more:
        nodes.append(helper.make_node("Identity", ["d"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "masked",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in CONSTANTS.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


def test_what_is_masked_and_rounded_is_rounded_and_masked() -> None:
    model = masked_and_rounded()
    x = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)
    before = run(model, x)
    editor = GraphEditor(model)
    integer_masks(editor)
    editor.finish()
    assert [n.op_type for n in model.graph.node][:2] == ["QuantizeLinear", "Where"]
    assert np.array_equal(run(model, x), before)


def test_a_mask_that_others_read_in_float_stays() -> None:
    model = masked_and_rounded(helper.make_node("Add", ["d", "h"], ["y"]))
    before = [n.op_type for n in model.graph.node]
    editor = GraphEditor(model)
    integer_masks(editor)
    editor.finish()
    assert [n.op_type for n in model.graph.node] == before
