"""The tables of words, from files that are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("transformers", reason="the study exports a model of transformers")

from benchmarks.wav2vec2_budgets import BUDGETS
from benchmarks.wav2vec2_words import EIGHT_BITS, VOICE_BUDGETS, cells
from benchmarks.wav2vec2_words_report import (
    DIGITS,
    FLOAT,
    METHODS,
    OURS,
    Cell,
    Row,
    budget_rows,
    difference,
    method_sentences,
    rate,
    report,
    voice_rows,
)


def row(low: int, high: int, digits: int = 0, size: int = 1_000) -> Row:
    """Two clips of ten words in each group, the first with so many errors."""
    errors = {"low": low, "high": high, DIGITS: digits}
    counts = json.dumps({group: [[e, 10], [0, 10]] for group, e in errors.items()})
    return Row(size, counts, counts)


RESULTS = {
    Cell(FLOAT, 0, "none"): row(0, 0),
    Cell("myQASR", 58, "anyone"): row(6, 6, 6, size=2_000),
    Cell(OURS, 58, "anyone"): row(1, 1, 1, size=1_999),
    Cell(OURS, 58, "low"): row(1, 5),
    Cell(OURS, 58, "high"): row(3, 4),
}


def test_the_study_has_each_method_at_each_budget_of_the_source_work() -> None:
    found = cells()
    assert len(found) == len({*found})
    for name in (OURS, "myQASR", "myQASR, 8-bit inputs"):
        assert {c.mib for c in found if (c.method, c.heard) == (name, "anyone")} == {*BUDGETS}
        for who in ("low", "high"):
            assert {c.mib for c in found if (c.method, c.heard) == (name, who)} == {*VOICE_BUDGETS}
    assert [c.mib for c in found if c.method == "8 bits everywhere"] == [EIGHT_BITS]
    assert {c.method for c in found} == {*METHODS}


def test_a_rate_is_errors_per_word_of_all_clips() -> None:
    assert rate(np.array([[1.0, 2.0], [0.0, 8.0]])).value == pytest.approx(0.1)
    change = difference(np.array([[3.0, 10.0]] * 9), np.array([[1.0, 10.0]] * 9))
    assert change.value == pytest.approx(0.2)
    assert change.interval == pytest.approx((0.2, 0.2))


def test_budgets_rise_and_float32_comes_first() -> None:
    rows = budget_rows(RESULTS)
    assert [cells[0] for cells in rows] == ["–, float32", "58, ours", "58, myQASR"]
    assert [cells[1] for cells in rows] == ["1,000", "1,999", "2,000"]
    assert rows[1][2].startswith("5.0 [")
    (sentence,) = method_sentences(RESULTS)
    assert sentence.startswith("58: ours minus myQASR is -25.0 [")


def test_same_stands_beside_other() -> None:
    low, high = voice_rows(RESULTS)
    assert low[0] == "58, ours, low voices"
    assert [cell.split(" ")[0] for cell in low[1:4]] == ["5.0", "15.0", "-10.0"]
    assert high[0] == "58, ours, high voices"
    assert [cell.split(" ")[0] for cell in high[1:4]] == ["20.0", "25.0", "-5.0"]


def test_the_section_says_who_was_heard() -> None:
    people = {(who, part): 7 for who in ("low", "high") for part in ("train", "test")}
    text = report(RESULTS, people, 48, 32, 3_700_000, 90, "a host")
    assert "7 people with low voices to calibrate and 7 to test" in text
    assert "3,700,000 bytes" in text
    assert "| 58, ours, low voices |" in text
