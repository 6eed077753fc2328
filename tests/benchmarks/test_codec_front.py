"""All codecs in one picture: which of them are the front."""

from __future__ import annotations

from pathlib import Path

from benchmarks.codec_front import LINES, front_of, report
from benchmarks.entropy_coding import Row


def test_the_front_holds_what_nothing_smaller_beats() -> None:
    sizes, losses = [3.0, 1.0, 2.0, 2.0, 4.0], [0.1, 0.9, 0.5, 0.4, 0.2]
    assert front_of(sizes, losses) == [1, 3, 0]
    assert front_of([], []) == []


def test_the_table_is_ordered_by_size_and_marks_the_front() -> None:
    codecs = [codec for line in LINES.values() for codec in line]
    rows = {
        codec: Row(1_000_000 * (index + 1), 1.0, 0.01, 0.0, 0.02, "")
        for index, codec in enumerate(codecs)
    }
    lines = report(rows, Path("front.svg"), "about").splitlines()
    first = next(line for line in lines if "1.000 |" in line)
    assert first == f"| **{codecs[0]}** | 1.000 | 1.00000 | +1.0% [+0.0%, +2.0%] |"
    assert sum("**" in line for line in lines) == 1
