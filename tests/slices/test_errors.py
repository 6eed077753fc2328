"""Edits of a text, and which of its words they hit."""

from __future__ import annotations

import pytest

from quantkit.slices.errors import Part, TextErrors, rare_in, summed, text_errors
from quantkit.text.labels import Labels
from quantkit.text.scoring import KeywordScoring, LabelScoring

SCORING = LabelScoring(Labels(("_", " ", *"abcdefghijklmnopqrstuvwxyz")))


def errors(reference: str, hypothesis: str) -> TextErrors:
    return text_errors(reference, hypothesis, SCORING, frozenset(("rare",)).__contains__)


def test_edits_by_kind_of_words_and_of_letters() -> None:
    found = errors("a rare cat sat", "a cart cat sat down")
    assert found.words is not None
    assert (found.words.insertions, found.words.deletions, found.words.substitutions) == (1, 0, 1)
    assert found.main == ("words", found.words)
    assert found.units.reference_length == len("a rare cat sat")


@pytest.mark.parametrize(
    ("hypothesis", "first", "last", "rare"),
    [
        ("one rare two", 0, 0, 0),
        ("rare two", 1, 0, 0),
        ("oh one rare two", 1, 0, 0),
        ("one two", 0, 0, 1),
        ("one rare", 0, 1, 0),
        ("one rare two too", 0, 1, 0),
        ("", 1, 1, 1),
    ],
)
def test_which_words_are_hit(hypothesis: str, first: int, last: int, rare: int) -> None:
    found = errors("one rare two", hypothesis)
    assert (found.first.errors, found.last.errors, found.rare.errors) == (first, last, rare)


def test_an_empty_transcript_has_no_first_word() -> None:
    found = errors("", "noise")
    assert found.first == Part()
    assert found.words is not None
    assert found.words.insertions == 1


def test_several_clips_add_up() -> None:
    total = summed([errors("a b", "a"), errors("a b", "b")])
    assert total is not None
    assert total.words is not None
    assert total.words.deletions == 2
    assert (total.first, total.last) == (Part(1, 2), Part(1, 2))
    assert summed([]) is None


def test_keywords_are_no_words() -> None:
    found = text_errors("yes", "no", KeywordScoring(("yes", "no")))
    assert found.words is None
    assert found.main[1].errors == 1


def test_rare_words_make_up_a_tenth_at_most_unless_more_occur_once() -> None:
    assert rare_in(["the the the a", "the the the b"]) == {"a", "b"}
    assert rare_in(["a b c", "a b c"]) == frozenset()
    common = "the " * 40
    assert rare_in([common + "x x y y z z", "one"]) == {"one"}
