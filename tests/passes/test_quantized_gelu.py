from __future__ import annotations

import math

import numpy as np
import pytest
from onnx import helper

from quantkit.passes.quantized_gelu import fuse_quantized_gelu

CONSTANTS = {
    "scale": np.float32(0.05),
    "zero": np.uint8(120),
    "root": np.float32(math.sqrt(2.0)),
    "one": np.float32(1.0),
    "half": np.float32(0.5),
}


def graph(*, moved=False, quantized=True):
    nodes = []
    source = "x"
    if quantized:
        nodes += [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        ]
        source = "d"
    if moved:
        nodes.append(helper.make_node("Transpose", [source], ["moved"], perm=[1, 0]))
        source = "moved"
    return [
        *nodes,
        helper.make_node("Div", [source, "root"], ["scaled"]),
        helper.make_node("Erf", ["scaled"], ["erf"]),
        helper.make_node("Add", ["erf", "one"], ["plus"]),
        helper.make_node("Mul", [source, "plus"], ["doubled"]),
        helper.make_node("Mul", ["doubled", "half"], ["y"], "gelu"),
    ]


@pytest.mark.parametrize("moved", [False, True])
def test_gelu_of_a_dequantized_value_becomes_one_operator(build, run, moved):
    model = build(graph(moved=moved), CONSTANTS, ["n", 5])
    x = np.linspace(-4, 4, 15, dtype=np.float32).reshape(3, 5)
    before = run(model, x)

    assert fuse_quantized_gelu(model)

    last = model.graph.node[-1]
    assert (last.op_type, last.domain, last.name) == ("Gelu", "com.microsoft", "gelu")
    assert "Erf" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(run(model, x), before, atol=1e-6)
    assert not fuse_quantized_gelu(model)


def test_a_float_gelu_is_left_to_onnx_runtime(build):
    model = build(graph(quantized=False), CONSTANTS, ["n", 5])
    assert not fuse_quantized_gelu(model)
    assert [imported.domain for imported in model.opset_import] == [""]
