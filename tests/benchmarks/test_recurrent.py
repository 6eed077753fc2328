"""Each form of a recurrent layer is timed on the kernel that the table says."""

from __future__ import annotations

from pathlib import Path

from benchmarks.recurrent import FORMS, Case, measure, report
from quantkit.runtime.lint import lint_model


def test_lstm_is_timed_in_all_forms_and_gru_without_integers(tmp_path: Path) -> None:
    lstm = measure(tmp_path, Case("LSTM", 24, 3), 0.0)
    assert list(lstm) == ["float32", *FORMS]
    assert lstm["packed, int8 kernel"].size < lstm["int8 kernel"].size < lstm["float32"].size
    assert lstm["float32"].error == 0 < lstm["int8 kernel"].error < 0.05
    kernels = [lint_model(tmp_path / f"{number}.onnx").rows[0].kernel for number in (1, 2, 3)]
    assert kernels == ["LSTM", "DynamicQuantizeLSTM", "DynamicQuantizeLSTM"]
    gru = measure(tmp_path, Case("GRU", 24, 3), 0.0)
    assert list(gru) == ["float32", "packed, float kernel"]
    text = report({Case("LSTM", 24, 3): lstm, Case("GRU", 24, 3): gru})
    assert "| LSTM | 24 | 3 |" in text
    assert text.count("–") == 5
