from __future__ import annotations

import numpy as np
from onnx import helper

from quantkit.passes.residual_sum import keep_residual_sums

CONSTANTS = {
    "weight": np.eye(8, dtype=np.float32) * 3,
    "bias": np.arange(8, dtype=np.float32),
    "scale": np.ones(8, np.float32),
    "shift": np.zeros(8, np.float32),
}


def block(other="branch"):
    return [
        helper.make_node("MatMul", ["x", "weight"], ["branch"]),
        helper.make_node("Add", ["x", other], ["total"], "residual"),
        helper.make_node("LayerNormalization", ["total", "scale", "shift"], ["y"]),
    ]


def test_onnx_runtime_leaves_sum_and_normalisation_apart(build, run, optimised_operators):
    model = build(block(), CONSTANTS, [2, 5, 8])
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    before = run(model, x)
    assert "SkipLayerNormalization" in optimised_operators(model)

    assert keep_residual_sums(model)

    assert optimised_operators(model) == ["MatMul", "Sum", "LayerNormalization"]
    np.testing.assert_array_equal(run(model, x), before)
    assert not keep_residual_sums(model)


def test_a_bias_is_no_residual(build):
    assert not keep_residual_sums(build(block("bias"), CONSTANTS, [2, 5, 8]))
