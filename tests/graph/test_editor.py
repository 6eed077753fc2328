"""Constants that callers might replace become what they are by default."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from quantkit.graph.editor import fix_defaults
from quantkit.quantization import QuantizeSettings, quantize_model
from tests.small_graphs import Graph, run


def with_defaults(ir_version: int = 3) -> onnx.ModelProto:
    """Every constant is an input, too, as it had to be until IR version 4."""
    graph = Graph()
    graph.linear("x", "first", 32, 64)
    model = graph.model("first.sum")
    for tensor in model.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims)
        model.graph.input.append(value)
    model.ir_version = ir_version
    return model


def test_only_what_has_no_value_stays_an_input() -> None:
    model = with_defaults()
    fix_defaults(model)
    assert [value.name for value in model.graph.input] == ["x"]
    assert model.ir_version >= 4


def test_a_weight_with_a_default_is_stored_quantized_only(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((1, 9, 32)).astype(np.float32)
    usual = with_defaults(8)
    fix_defaults(usual)
    sizes, results = [], []
    for name, model in (("usual", usual), ("theirs", with_defaults(8))):
        onnx.save(model, tmp_path / f"{name}.onnx")
        settings = QuantizeSettings(compute="dynamic")
        made = quantize_model(tmp_path / f"{name}.onnx", tmp_path / f"{name}-q.onnx", settings)
        sizes.append(made.size_bytes)
        results.append(run(onnx.load(made.path), x))
    assert sizes[0] == sizes[1]
    np.testing.assert_array_equal(*results)
