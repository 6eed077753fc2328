"""The check of predicted latency: what its table says, and when it fails."""

from __future__ import annotations

import pytest

from benchmarks.latency_prediction import Checked, report


def test_the_error_is_against_what_was_measured() -> None:
    checked = Checked(0.5, "3 float32, 8 static", predicted=0.48, measured=0.5)
    assert checked.error == pytest.approx(-0.04)
    assert "| 50% | 3 float32, 8 static | 48.0% | 50.0% | -4.0% |" in report([checked])
