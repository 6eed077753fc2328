"""The study of what opening takes: what it promises, and what its table says."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.load import Cost, Loading, broken_promises, report

INT8 = Loading("m", "int8", 90, Cost(100_000_000, 0.2), 100_000_000)
PACKED = Loading(
    "m",
    "grouped:4",
    50,
    Cost(200_000_000, 0.4),
    210_000_000,
    unpacking=Cost(60_000_000, 1.0),
    second=Cost(90_000_000, 0.1),
)


def test_what_keeps_its_promises_breaks_none() -> None:
    assert broken_promises([INT8, PACKED]) == []


def test_each_promise_is_held_against_int8_of_the_same_model() -> None:
    heavy = replace(PACKED, first=Cost(310_000_000, 0.4), foretold_bytes=310_000_000)
    wrong = replace(PACKED, foretold_bytes=240_000_000)
    slow = replace(PACKED, second=Cost(110_000_000, 0.1))
    other = replace(INT8, model="another", first=Cost(1, 0.1), foretold_bytes=1)
    found = [broken_promises([other, INT8, each]) for each in (heavy, wrong, slow)]
    assert found == [
        ["m, grouped:4 takes more than 3.0 times int8's memory to open"],
        ["m, grouped:4: 240 MB were foretold"],
        ["m, grouped:4 takes more than int8's memory to open once unpacked"],
    ]


def test_the_table_has_a_row_for_each_file() -> None:
    rows = [line for line in report([INT8, PACKED]).splitlines() if line.startswith("| m, ")]
    assert len(rows) == 2
    assert "| 200 | 2.00× | +5% | 0.40 | 60 | 1.00 | 90 | 0.90× | 0.10 |" in rows[1]
