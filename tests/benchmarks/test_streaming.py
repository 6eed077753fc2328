"""The study of hearing in chunks counts what it says."""

from __future__ import annotations

import numpy as np

from benchmarks.streaming import CHUNKS, Heard, report
from quantkit.benchmarking.schema import ChunkLatency
from quantkit.sensitivity.estimate import Estimate


def heard(edits: int, *, chunked: bool, quantized: bool) -> Heard:
    """Four clips of ten letters and two words; each has so many edits of letters, and one word."""
    letters = np.array([[edits, 10.0]] * 4)
    words = np.array([[1.0, 2.0]] * 4)
    latency = ChunkLatency(0.16, 0.96, 1.5, 2.5, 0.01, 50) if chunked else None
    return Heard(words, letters, latency, Estimate(0.00125) if quantized else None)


def rows() -> list[Heard]:
    """Chunks add an edit to each clip; quantizing one to whole clips, and two in chunks."""
    found = []
    for seconds in CHUNKS:
        chunked = seconds is not None
        before = 2 if chunked else 1
        after = before + (2 if chunked else 1)
        found.append(heard(before, chunked=chunked, quantized=False))
        found.append(heard(after, chunked=chunked, quantized=True))
    return found


def lines(text: str, name: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in text.splitlines()
        if line.startswith(f"| {name}")
    ]


def test_errors_are_shares_of_what_was_said() -> None:
    text = report(rows(), {"heard": 1, "tested": 4, "compared": 4})
    float32, hybrid, change = lines(text, "320 ms")
    assert float32[:3] == ["320 ms, float32", "20.0 % [20.0, 20.0]", "50.0 % [50.0, 50.0]"]
    assert float32[3:] == ["1.50", "2.50", "0.0100"]
    assert hybrid[1] == "40.0 % [40.0, 40.0]"
    assert change == [
        "320 ms",
        "+10.00 [+10.00, +10.00]",
        "+20.00 [+20.00, +20.00]",
        "+10.00 [+10.00, +10.00]",
        "0.00125",
    ]


def test_whole_clips_have_no_latency_of_chunks() -> None:
    text = report(rows(), {"heard": 1, "tested": 4, "compared": 4})
    float32, _, change = lines(text, "whole clip")
    assert "".join(float32[3:]) == ""
    assert change[1] == "+0.00 [+0.00, +0.00]"
    assert "look-ahead\n0.96 s" in text
    assert "--heard 1 --tested 4 --compared 4" in text
