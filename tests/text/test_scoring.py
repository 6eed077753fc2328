"""What is made equal before texts are compared, and what an edit counts."""

from __future__ import annotations

import pytest

from quantkit.text.labels import Labels
from quantkit.text.scoring import KeywordScoring, LabelScoring, WrittenTextScoring
from quantkit.text.units import CHARACTERS, KEYWORDS, LABELS

LETTERS = LabelScoring(Labels.english())
PHONEMES = LabelScoring(Labels(("_", "AA", "K"), separator=" "))


def test_letters_count_one_by_one_and_phonemes_as_wholes() -> None:
    assert LETTERS.units("a b") == ["a", " ", "b"]
    assert PHONEMES.units("K AA") == ["K", "AA"]
    assert PHONEMES.units("") == []
    assert (LETTERS.unit, PHONEMES.unit) == (CHARACTERS, LABELS)
    assert (LETTERS.has_words, PHONEMES.has_words) == (True, False)


def test_transcripts_are_brought_into_the_alphabet_and_what_was_heard_stays() -> None:
    assert LETTERS.normalized("Wait -- HERE!") == "wait here"
    assert LETTERS.heard("wait  here") == "wait  here"
    assert LETTERS.covers("wait")
    assert not LETTERS.covers("42")


def test_a_keyword_is_right_or_wrong() -> None:
    scoring = KeywordScoring(("yes", "no", "Stop"))
    assert scoring.normalized(" STOP ") == "Stop"
    assert scoring.units("Stop") == ["Stop"]
    assert scoring.covers("yes")
    assert not scoring.covers(scoring.normalized("maybe"))
    assert (scoring.unit, scoring.has_words) == (KEYWORDS, False)


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Mr. Smith won't pay twenty-five dollars, um!", "en", "mister smith will not pay $25"),
        ("The colour of it", "", "the color of it"),
        ("Bitte WARTEN, Sie …", "de", "bitte warten sie"),
        ("Привет, мир!", "ru", "привет мир"),
    ],
)
def test_written_text_is_normalised_as_published(text: str, language: str, expected: str) -> None:
    scoring = WrittenTextScoring()
    assert scoring.normalized(text, language) == expected
    assert scoring.heard(text, language) == expected
