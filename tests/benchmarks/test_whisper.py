"""The table of the Whisper study, from rows that are known."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

pytest.importorskip("torch", reason="the study exports models")

from benchmarks.whisper import Cell, Form, Row, change, report, wer


def row(seconds: float, *forms: Form) -> Row:
    return Row(json.dumps([asdict(form) for form in forms]), seconds)


def test_word_errors_are_over_the_corpus() -> None:
    rate, (low, high) = wer(Form("a", 1, errors=[0, 3], words=[7, 5], seconds=1.0))
    assert rate == 0.25
    assert low <= rate <= high


def test_each_form_has_a_line_with_its_speed_against_the_first() -> None:
    plain = Form("float", 10_000_000, [1, 0], [10, 10], seconds=4.0)
    small = Form("small", 2_500_000, [2, 0], [10, 10], seconds=2.0)
    text = report(
        {
            Cell("base", "librispeech"): row(20.0, plain, small),
            Cell("base", "de"): row(20.0, plain, small),
            Cell("tiny.en", "librispeech"): row(1.0, plain),
        },
        "base",
    )
    assert "## Whisper base:" in text
    line = next(line for line in text.splitlines() if line.startswith("| small"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["small", "2.5", "0.100", "2.00×"]
    assert cells[4].startswith("+5.0 [")
    assert cells[5].startswith("10.0 [")
    assert len(cells) == 7


def test_the_change_is_clip_by_clip() -> None:
    base = Form("float", 1, [1, 4], [10, 10], seconds=1.0)
    other = Form("small", 1, [2, 3], [10, 10], seconds=1.0)
    value, (low, high) = change([other], [base])
    assert value == 0.0
    assert low <= 0.0 <= high
