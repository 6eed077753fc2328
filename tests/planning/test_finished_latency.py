"""Whether a finished file keeps to its latency, in words and for programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.graph.info import ArtifactInfo
from quantkit.planning import finished_latency as module
from quantkit.planning.finished_latency import FinishedLatency, finished_latency


def test_a_limit_that_is_kept_is_said_with_what_was_predicted() -> None:
    found = FinishedLatency(limit_ms=20.0, predicted_ms=18.7, measured_ms=19.2, float32_ms=96.0)
    assert found.is_kept
    assert found.in_words == (
        "latency 19.2 ms, within the limit of 20 ms (predicted 18.7 ms): 5.0 times as fast as "
        "float32"
    )


def test_a_limit_that_is_missed_is_said() -> None:
    found = FinishedLatency(limit_ms=20.0, predicted_ms=18.7, measured_ms=22.0, float32_ms=96.0)
    assert not found.is_kept
    assert "NOT within the limit of 20 ms" in found.in_words
    assert found.to_json()["is_kept"] is False


def test_what_two_measurements_differ_by_is_no_miss() -> None:
    assert FinishedLatency(20.0, 20.0, 20.3, 96.0).is_kept


def test_a_host_that_is_slower_meanwhile_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "milliseconds_of_files", lambda paths, feeds: [200.0, 40.0])
    feeds = CalibrationData([], ArtifactInfo(task="ctc"))
    found = finished_latency(
        Path("a.onnx"), Path("b.onnx"), feeds, limit_ms=25.0, predicted_ms=21.0, float32_ms=100.0
    )
    assert found.measured_ms == pytest.approx(20.0)
