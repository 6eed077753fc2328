"""Naming what was left out."""

from __future__ import annotations

from quantkit.report.left_out import left_out_in_words


def test_one_and_a_few_are_all_named() -> None:
    assert left_out_in_words(["a.wav: is empty"]) == "left out 1 clip: a.wav: is empty"
    assert left_out_in_words(["a", "b", "c"], "file") == "left out 3 files: a; b; c"


def test_of_many_the_first_five() -> None:
    said = left_out_in_words([*"abcdefgh"])
    assert said == "left out 8 clips: a; b; c; d; e; and 3 more (--verbose names all)"
