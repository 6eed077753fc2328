"""The study of a model beyond 2 GB reports what it measured."""

from __future__ import annotations

from benchmarks.large_conformer import Cost, broken_promises, report


def test_every_step_has_a_row() -> None:
    section = report([Cost("export", 61.4, 5_730_000_000, 2_438_700_000), Cost("load", 9.0, 10**9)])
    assert "| export | 61 | 5.7 | 2,439 |" in section
    assert "| load | 9 | 1.0 | – |" in section


def test_a_step_that_needs_more_memory_breaks_the_promise() -> None:
    assert broken_promises([Cost("export", 1.0, 10_000_000_000)]) == []
    (broken,) = broken_promises([Cost("export", 1.0, 12_300_000_000)])
    assert broken == "export takes 12.3 GB, more than 10 GB"
