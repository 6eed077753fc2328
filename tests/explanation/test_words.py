"""Words that differ, with the times of the float model's words."""

from __future__ import annotations

from quantkit.explanation.words import WordChange, word_changes
from quantkit.text.changes import TextPair
from quantkit.text.words import Word

WORDS = (Word("one", 0.1, 0.4, 0.9), Word("two", 0.5, 0.9, 0.8), Word("six", 1.2, 1.6, 0.7))


def changes(after: str, words=WORDS) -> tuple[WordChange, ...]:
    return word_changes(TextPair("clip", "one two six", after), words)


def test_equal_texts_have_no_changes() -> None:
    assert changes("one two six") == ()


def test_another_word_has_the_time_of_the_one_it_replaces() -> None:
    assert changes("one too six") == (WordChange("two", "too", 0.5, 0.9),)


def test_words_next_to_one_another_are_one_change() -> None:
    assert changes("won too six") == (WordChange("one two", "won too", 0.1, 0.9),)


def test_a_missing_word_has_its_time() -> None:
    assert changes("one six") == (WordChange("two", "", 0.5, 0.9),)


def test_an_added_word_lies_between_its_neighbours() -> None:
    assert changes("one two oh six") == (WordChange("", "oh", 0.9, 1.2),)
    assert changes("oh one two six") == (WordChange("", "oh", 0.0, 0.1),)
    assert changes("one two six oh") == (WordChange("", "oh", 1.6, 1.6),)


def test_times_of_another_text_are_not_used() -> None:
    assert changes("one too six", WORDS[:2]) == (WordChange("two", "too"),)
