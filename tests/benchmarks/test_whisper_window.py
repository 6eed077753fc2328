"""Each window has a line, and is held against whole windows of the same precision."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

pytest.importorskip("torch", reason="the study exports models")

from benchmarks.whisper_window import (
    Cell,
    Form,
    Heard,
    Listening,
    Row,
    difference,
    known_of,
    pooled,
    report,
    time_ratio,
)
from quantkit.text.decoding import WHOLE


def form(silence: float, errors: list[int], seconds: list[float]) -> Form:
    return Form(silence, errors, [10, 10], seconds, [False, silence < 1])


def test_a_window_is_compared_clip_by_clip() -> None:
    whole, cut = form(WHOLE, [1, 2], [1.0, 1.0]), form(0.5, [1, 4], [0.5, 0.25])
    assert difference(cut, whole) == (0.1, (0.0, 0.2))
    assert time_ratio(cut, whole) == (0.375, (0.25, 0.5))


def test_the_section_has_a_line_for_each_window() -> None:
    def row(*forms: Form) -> Row:
        return Row(json.dumps([asdict(each) for each in forms]), 18.0)

    rows = {
        Cell("base", "en", "float32", 40, 5): row(
            form(WHOLE, [0, 0], [2.0, 2.0]), form(1.0, [0, 0], [1.0, 1.0])
        ),
        Cell("base", "en", "int8", 40, 1): row(
            form(WHOLE, [1, 0], [1.0, 1.0]), form(0.5, [2, 0], [0.5, 0.5])
        ),
    }
    trial = {"silence": 0.5, "divergence": 0.01, "share": 0.4, "clips": 2, "again": 1}
    text = report(rows, {Listening("base", "en"): Heard(json.dumps([trial]))})
    assert "--clips 40`" in text
    assert "en: 2 clips of 9.0 s." in text
    assert "| base | en, beam 5 | float32 | whole | 1 | 0.00 |  |  |" in text
    assert "| base | en, beam 5 | float32 | clip + 1 s | 0.50 [0.50, 0.50] | 0.00 |" in text
    assert "| base | en | int8 | whole | 1 | 5.00 |  |  |" in text
    assert "| clip + 0.5 s | 0.50 [0.50, 0.50] | 10.00 | +5.00 [+0.00, +10.00] | 1 of 2 |" in text
    assert "| base | en | 0.5 | 0.0100 | 0.40 | 1 of 2 |  | +5.00 |" in text


def test_test_sets_are_pooled_by_precision() -> None:
    def row(*errors: list[int]) -> Row:
        forms = [form(WHOLE, errors[0], [1.0, 1.0]), form(4.0, errors[1], [1.0, 1.0])]
        return Row(json.dumps([asdict(each) for each in forms]), 18.0)

    rows = {
        Cell("base", "en", "int8", 40, 1): row([1, 2], [1, 3]),
        Cell("tiny.en", "en", "int8", 40, 1): row([2, 2], [1, 2]),
        Cell("base", "en", "int8", 40, 5): row([0, 0], [9, 9]),
    }
    ((*_, clips, words, change, promise),) = pooled(rows)
    assert (clips, words, promise) == ("4", "40", "yes")
    assert change.startswith("+0.00 [")


def test_a_study_goes_on_at_the_clip_where_it_was_killed(tmp_path) -> None:
    log = tmp_path / "log.jsonl"
    assert known_of(log) == {}
    log.write_text('{"clip": "a", "forms": [[1, 2, 0.5, false]]}\n{"clip": "b", "fo')
    assert known_of(log) == {"a": [[1, 2, 0.5, False]]}
