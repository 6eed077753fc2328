"""Files in ONNX Runtime's own format become ``.onnx`` that compute the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.conversion.ort_format import write_as_onnx
from quantkit.errors import ModelError
from tests.ort_files import write_ort

LEVELS = onnxruntime.GraphOptimizationLevel


def graph() -> onnx.ModelProto:
    """A convolution with ReLU, which ONNX Runtime fuses, and an ``If``."""
    random = np.random.default_rng(0)
    kernel = random.standard_normal((16, 3, 3)).astype(np.float32)
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    bodies = [
        helper.make_graph([helper.make_node(op, ["curved"], ["made"])], op, [], [made])
        for op in ("Neg", "Abs")
        for made in [helper.make_tensor_value_info("made", TensorProto.FLOAT, None)]
    ]
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["seen"]),
        helper.make_node("Relu", ["seen"], ["curved"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=bodies[0], else_branch=bodies[1]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "t"]),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, [1]),
    ]
    made = helper.make_graph(
        nodes, "graph", inputs, [value], [numpy_helper.from_array(kernel, "kernel")]
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key="made_by", value="a test")
    return model


@pytest.mark.parametrize("level", [LEVELS.ORT_DISABLE_ALL, LEVELS.ORT_ENABLE_EXTENDED])
def test_the_numbers_and_metadata_stay(
    level: onnxruntime.GraphOptimizationLevel, tmp_path: Path
) -> None:
    onnx.save(graph(), tmp_path / "a.onnx")
    write_ort(tmp_path / "a.onnx", tmp_path / "a.ort", level)
    write_as_onnx(tmp_path / "a.ort", tmp_path / "back.onnx")
    model = onnx.load(tmp_path / "back.onnx")
    assert [(each.key, each.value) for each in model.metadata_props] == [("made_by", "a test")]
    domains = {node.domain for node in model.graph.node}
    assert {each.domain for each in model.opset_import} == domains | {""}
    heard = np.random.default_rng(1).standard_normal((2, 3, 9)).astype(np.float32)
    feed = {"x": heard, "flag": np.array([True])}
    found, expected = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)[0]
        for path in (tmp_path / "back.onnx", tmp_path / "a.onnx")
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.ort"
    for content in (b"", b"\x18\x00\x00\x00ORTM" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="is no model in ONNX Runtime's own format") as error:
            write_as_onnx(path, tmp_path / "a.onnx")
        assert "\n" not in str(error.value)
