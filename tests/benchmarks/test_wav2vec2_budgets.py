"""The table of budgets, from files that are known."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

pytest.importorskip("transformers", reason="the study exports a model of transformers")

from benchmarks.wav2vec2_budgets import BATCHES, LENGTHS, MIB, File, report, widths_of
from quantkit.exporting.parity import ParityCase
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerRule
from tests.sensitivity.graphs import residual


def test_each_budget_has_its_size_bits_and_speed() -> None:
    files = {
        "float32": File(360 * MIB, None, 0.0, {32: 1.0}, [400.0, 420.0, 900.0]),
        "58 MiB": File(int(57.5 * MIB), 0.0123, 0.0119, {4: 0.25, 5: 0.75}, [140.0]),
    }
    cases = [ParityCase(size, length, 2e-5, "") for length in LENGTHS for size in BATCHES]
    text = report(files, cases)
    assert "| 58 MiB | 57.50 | 0.012 | 0.012 | 25 % 4, 75 % 5 | 140 | 3.00× |" in text
    assert "| 160,000 | 2.0e-05 | 2.0e-05 |" in text


def test_widths_are_counted_in_weights(tmp_path: Path) -> None:
    onnx.save(residual(0)[0], tmp_path / "float32.onnx")
    rules = (LayerRule.parse("*=bitplane:4"), LayerRule.parse("conv1.node=bitplane:6"))
    settings = QuantizeSettings(compute="float32", rules=rules)
    path = quantize_model(tmp_path / "float32.onnx", tmp_path / "q.onnx", settings).path
    first, others = 16 * 8 * 3, 16 * 16 * 3 + 16 * 16
    assert widths_of(path) == pytest.approx(
        {4: others / (first + others), 6: first / (first + others)}
    )
