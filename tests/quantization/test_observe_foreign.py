"""Graphs of other exporters are observed, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerRule
from quantkit.runtime.session import create_session
from tests.small_graphs import Graph

RANDOM = np.random.default_rng(1)
X = RANDOM.standard_normal((1, 30, 8)).astype(np.float32)


def test_constants_may_be_nodes_without_inputs(tmp_path: Path) -> None:
    graph = Graph()
    half = numpy_helper.from_array(np.float32(0.5))
    graph.nodes.append(helper.make_node("Constant", [], ["half"], "half.node", value=half))
    graph.linear("x", "first", 8, 16)
    graph.add("Mul", ["first.sum", "half"], "halved")
    graph.linear("halved", "second", 16, 4)
    source = tmp_path / "float32.onnx"
    onnx.save(graph.model("second.sum", channels=8), source)
    few_bits = QuantizeSettings(compute="dynamic", rules=(LayerRule.parse("*=grouped:3"),))
    made = quantize_model(source, tmp_path / "q.onnx", few_bits, [("clip", {"x": X})])
    (found,) = create_session(made.path).run(None, {"x": X})
    (expected,) = create_session(source).run(None, {"x": X})
    assert np.square(found - expected).mean() < 0.1 * np.square(expected).mean()
