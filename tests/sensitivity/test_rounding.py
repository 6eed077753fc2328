"""Activations are rounded as ONNX Runtime rounds them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime import InferenceSession

from quantkit.calibration.ranges import Range
from quantkit.sensitivity.rounding import bounds_of, on_grid, on_own_grids

VALUES = np.random.default_rng(2).standard_normal((1, 50, 8)).astype(np.float32) - 0.3


def test_dynamic_grid_is_that_of_dynamic_quantize_linear() -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["a", "b", "c"]) for n in "xy")
    model: onnx.ModelProto = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    (expected,) = InferenceSession(model.SerializeToString()).run(["y"], {"x": VALUES})
    np.testing.assert_allclose(on_grid(VALUES, bounds_of(VALUES), 8), expected, atol=1e-6)


def test_static_grid_has_so_many_levels_and_clips_beyond_its_range() -> None:
    bounds = Range(-1.0, 0.5)
    for bits in (1, 3, 8):
        rounded = on_grid(VALUES, bounds, bits)
        assert len(np.unique(rounded)) <= 2**bits
        step = 1.5 / (2**bits - 1)
        assert rounded.min() >= -1.0 - step / 2
        assert rounded.max() <= 0.5 + step / 2
    inside = (VALUES > -1) & (VALUES < 0.5)
    assert np.abs(rounded - VALUES)[inside].max() <= step


def test_zero_stays_zero_and_silence_is_silent() -> None:
    assert on_grid(np.zeros((1, 4), np.float32), Range(0.2, 3.0), 8).any() == np.False_
    assert bounds_of(np.zeros((0, 4), np.float32)) == Range(0.0, 0.0)
    assert bounds_of(np.full((1, 2), 3.0, np.float32)) == Range(0.0, 3.0)


def test_tokens_that_come_one_by_one_have_grids_of_their_own() -> None:
    values = VALUES * np.geomspace(1, 100, VALUES.shape[1], dtype=np.float32)[None, :, None]
    rounded = on_own_grids(values, 8)
    for token in range(values.shape[1]):
        alone = values[:, token]
        np.testing.assert_array_equal(rounded[:, token], on_grid(alone, bounds_of(alone), 8))
    assert on_own_grids(values[:, :0], 8).shape == (1, 0, 8)
