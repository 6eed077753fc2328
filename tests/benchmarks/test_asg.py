"""What the table of the two criteria says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.asg import CODECS, Divergence, Row, correlations, report
from benchmarks.shipped_model import Score
from quantkit.benchmarking.accuracy import Accuracy
from quantkit.codecs.catalogue import CodecChoice


def _row(criterion: str, change: float, *figures: float) -> Row:
    accuracy = Accuracy(cer=0.2, cer_ci=(0.1, 0.3), wer=0.4)
    score = Score("some", accuracy, change, (change - 0.1, change + 0.1))
    divergence = Divergence(*figures) if figures else None
    return Row(criterion, "int8", Path("some.onnx"), score, divergence)


def test_every_form_is_a_codec() -> None:
    assert [str(CodecChoice.parse(codec)) for codec in CODECS] == [*CODECS]


def test_each_divergence_is_ranked_against_the_edits() -> None:
    rows = [
        _row("asg", 0.0),
        _row("asg", 0.1, 0.01, 0.03, 0.01),
        _row("asg", 0.2, 0.02, 0.02, 0.03),
        _row("asg", 0.3, 0.03, 0.01, 0.02),
    ]
    np.testing.assert_allclose(correlations(rows), (1.0, -1.0, 0.5))


def test_the_section_names_both_criteria(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.asg.total_size", lambda path: 300_000)
    rows = [_row(c, 0.0) for c in ("ctc", "asg")] + [_row("asg", 0.1, 0.01, 0.03, 0.02)] * 3
    said = report(rows, 9, 300)
    assert "trained twice for 9\nsteps" in said
    assert "| CTC | `int8` | 0.30 | 20.0% [10.0%, 30.0%] | 40.0% | – |" in said
    assert "| +10.0% [+0.0%, +20.0%] | 0.0100 | 0.0300 | 0.0200 |" in said
