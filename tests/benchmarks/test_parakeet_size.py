"""The study of Parakeet's size reports what it measured, and fails where a promise is broken."""

from __future__ import annotations

import pytest

from benchmarks.large_conformer import Cost
from benchmarks.parakeet_size import FLOAT32, INT8, Speed, broken_promises, report

COSTS = [Cost("float32", 301.0, 7_100_000_000, 2_507_000_000), Cost("485MB", 900.0, 5_000_000_000)]


def speeds(milliseconds: float) -> list[Speed]:
    return [Speed(FLOAT32, 900.0, 2_430.0), Speed(INT8, milliseconds, 610.0)]


def test_every_step_and_every_encoder_has_a_row() -> None:
    section = report(COSTS, speeds(300.0), 626_000_000)
    assert "626 M random weights" in section
    assert "| float32 | 301 | 7.1 | 2,507 |" in section
    assert "| 485MB | 900 | 5.0 | – |" in section
    assert "| float32 | 2,430 | 900 | 1.00× |" in section
    assert f"| {INT8} | 610 | 300 | 3.00× |" in section


def test_promises_are_kept_at_their_limits() -> None:
    assert broken_promises([Cost("x", 1.0, 24_000_000_000)], speeds(450.0)) == []


@pytest.mark.parametrize(
    ("costs", "milliseconds", "broken"),
    [
        ([Cost("x", 1.0, 24_300_000_000)], 300.0, "x takes 24.3 GB, more than 24 GB"),
        (COSTS, 500.0, "int8 is 1.80 times as fast, not 2 times"),
    ],
)
def test_a_broken_promise_is_named(costs: list[Cost], milliseconds: float, broken: str) -> None:
    assert broken_promises(costs, speeds(milliseconds)) == [broken]
