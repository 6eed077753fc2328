"""Outlier channels of activations become larger weights, and 8-bit products more exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from quantkit.graph.editor import GraphEditor
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.equalize.channel_scaling import (
    Magnitudes,
    find_junctions,
    input_magnitudes,
)
from quantkit.quantization.equalize.smoothing import smooth
from quantkit.runtime.session import create_session
from tests.small_graphs import CHANNELS, OUTLIERS, run, transformer, values_of

RANDOM = np.random.default_rng(4)
X = RANDOM.standard_normal((4, 25, CHANNELS)).astype(np.float32)
CLIPS = [(f"clip {i}", {"x": RANDOM.standard_normal((1, 40, CHANNELS), np.float32)}) for i in "ab"]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_factors_are_those_of_the_paper(alpha: float) -> None:
    model = transformer(1)
    before = values_of(model)
    editor = GraphEditor(model)
    junction = next(j for j in find_junctions(editor) if j.maker.name == "block0.norm1")
    met = np.exp(RANDOM.uniform(-1, 3, CHANNELS)).astype(np.float32)
    weights = np.maximum.reduce([np.abs(before[f"block0.{p}.w"]).max(axis=1) for p in "qkv"])
    np.testing.assert_array_equal(input_magnitudes(editor, junction).maxima, weights)
    smooth(editor, [junction], {"block0.norm1": Magnitudes(met, met)}, alpha)
    s = met**alpha / weights ** (1 - alpha)
    after = values_of(model)
    for part in ("scale", "shift"):
        name = f"block0.norm1.{part}"
        np.testing.assert_allclose(after[name], before[name] / s, rtol=1e-5)
    for part in "qkv":
        name = f"block0.{part}.w"
        np.testing.assert_allclose(after[name], before[name] * s[:, None], rtol=1e-5)
    changed = {name for name in after if not np.array_equal(after[name], before[name])}
    assert changed == {
        *("block0.norm1.scale", "block0.norm1.shift"),
        *("block0.q.w", "block0.k.w", "block0.v.w"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("affine", ["norm", "spelled"])
@pytest.mark.parametrize("compute", ["static", "dynamic"])
def test_planted_outliers_cost_less(compute, affine: str, tmp_path: Path) -> None:
    model = transformer(affine=affine)
    expected = run(model, X)
    path = tmp_path / "float32.onnx"
    onnx.save(model, path)

    def error(alpha: float) -> float:
        fitting = PtqSettings(smoothing=alpha)
        settings = QuantizeSettings(compute=compute)
        result = quantize_model(path, tmp_path / "q.onnx", settings, CLIPS, fitting=fitting)
        (found,) = create_session(result.path).run(None, {"x": X})
        return float(np.square(found - expected).mean())

    assert error(0.5) < 0.5 * error(0.0)


def test_outliers_no_longer_stand_out() -> None:
    model = transformer(1)
    editor = GraphEditor(model)
    junction = next(j for j in find_junctions(editor) if j.maker.name == "norm")
    scale = np.abs(values_of(model)["norm.scale"])
    assert scale[list(OUTLIERS)].min() > 10 * np.median(scale)
    smooth(editor, [junction], {"norm": Magnitudes(scale, scale)}, 1.0)
    np.testing.assert_allclose(np.abs(values_of(model)["norm.scale"]), 1.0, rtol=1e-5)
