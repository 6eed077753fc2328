"""The matrix of languages heard and tested, from rows that are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the study exports a model")

from benchmarks.charts import Matrix, write_matrices
from benchmarks.language_personalisation import (
    FLOAT,
    NONE,
    Cell,
    Row,
    by_relation,
    report,
    without_loops,
    word_error_rates,
)
from benchmarks.whisper import LANGUAGES

WORDS = {language: [10, 10] for language in LANGUAGES}


def row(own: str = "", errors: int = 1) -> Row:
    """``errors`` in each clip, none in those of the language ``own``."""
    found = {each: [0, 0] if each == own else [errors, errors] for each in LANGUAGES}
    return Row(32_000_000, json.dumps(found))


RESULTS = {
    Cell(FLOAT): row(errors=0),
    Cell(NONE): row(errors=5),
    **{Cell(language): row(language) for language in LANGUAGES},
}


def test_each_file_has_a_rate_for_each_language() -> None:
    rates = word_error_rates(RESULTS, WORDS)
    assert rates[NONE] == [50.0] * len(LANGUAGES)
    assert rates["es"] == [0.0 if each == "es" else 10.0 for each in LANGUAGES]


def test_own_others_and_nobodys_audio_are_told_apart() -> None:
    found = by_relation(RESULTS, WORDS)
    assert [found[each][0] for each in ("same", "other", NONE)] == [0.0, 10.0, 50.0]
    text = report(RESULTS, WORDS)
    assert "| es | 32.0 | 10.0 | 0.0 | 10.0 |" in text
    assert "| other | 10.0 [10.0, 10.0] | 10.0 [10.0, 10.0] |" in text


def test_loop_counts_as_a_lost_clip() -> None:
    looped = {**RESULTS, Cell(NONE): row(errors=224)}
    assert by_relation(looped, WORDS)[NONE][0] == 2240.0
    capped = by_relation(without_loops(looped, WORDS), WORDS)
    assert capped[NONE][0] == 100.0
    assert capped["other"] == by_relation(RESULTS, WORDS)["other"]


def test_the_picture_has_every_number(tmp_path: Path) -> None:
    panel = Matrix("errors", "tested", "heard", ("a", "b"), ("a", "b"), np.array([[1, 2], [3, 45]]))
    text = write_matrices("matrix", [panel], tmp_path).read_text(encoding="utf-8")
    assert all(f"{number:.1f}" in text for number in (1, 2, 3, 45))
