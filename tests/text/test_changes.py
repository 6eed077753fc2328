"""How much of a model's text is not another's, without transcripts."""

from __future__ import annotations

import pytest

from quantkit.text.changes import Changed, TextPair, excerpt, text_changes
from quantkit.text.labels import Labels
from quantkit.text.scoring import (
    KeywordScoring,
    LabelScoring,
    NamedScoring,
    WrittenTextScoring,
)

ENGLISH = LabelScoring(Labels.english())


PLAIN = NamedScoring(WrittenTextScoring(), "basic")


def pairs(*texts: tuple[str, str]) -> list[TextPair]:
    return [TextPair(f"{i}.wav", before, after) for i, (before, after) in enumerate(texts)]


def test_words_lead_and_characters_follow() -> None:
    found = text_changes(pairs(("the cat sat", "the bat sat"), ("on a mat", "on mat")), ENGLISH)
    words, characters = found.counts
    assert (words.unit, words.changed, words.total) == ("words", 2, 6)
    assert (characters.unit, characters.changed, characters.total) == ("characters", 3, 19)
    assert found.in_words == (
        "33.3 % of words changed (2 of 6), 15.8 % of characters changed (3 of 19)"
    )


def test_many_clips_have_an_interval() -> None:
    (words, _) = text_changes(pairs(*[("a b", "a b"), ("a b", "a c")] * 8), ENGLISH).counts
    assert words.share == 0.25
    assert words.interval is not None
    low, high = words.interval
    assert 0.0 < low < 0.25 < high < 0.5
    assert words.in_words == f"25.0 % of words changed [{100 * low:.1f}, {100 * high:.1f}]"


def test_texts_that_are_the_same_have_no_interval() -> None:
    found = text_changes(pairs(*[("a b", "a b")] * 16), ENGLISH)
    assert found.in_words == "none of 32 words changed, none of 48 characters changed"
    assert found.examples == ()
    assert all(each.interval is None for each in found.counts)


def test_keywords_are_counted_by_clips() -> None:
    found = text_changes(pairs(("yes", "yes"), ("no", "yes")), KeywordScoring(("yes", "no")))
    assert found.in_words == "50.0 % of clips changed (1 of 2)"


def test_labels_with_a_separator_have_no_words() -> None:
    scoring = LabelScoring(Labels(("_", "AH", "B"), separator=" "))
    (labels,) = text_changes(pairs(("AH B AH", "AH AH")), scoring).counts
    assert (labels.unit, labels.changed, labels.total) == ("labels", 1, 3)


def test_text_of_people_is_compared_without_case_and_punctuation() -> None:
    found = text_changes(pairs(("Don’t, he said.", "don't he Said")), PLAIN)
    assert found.counts[0].changed == 0
    # Vowel signs count, as they do to who reads them.
    found = text_changes(pairs(("की बात", "का बात")), PLAIN)
    assert found.counts[0].changed == 1


def test_where_spaces_divide_no_words_characters_are_counted() -> None:
    thai = "สวัสดีครับผมชื่อสมชายครับ"
    (characters,) = text_changes(pairs((thai, thai[:-2])), PLAIN).counts
    assert (characters.unit, characters.changed) == ("characters", 2)


def test_examples_go_from_the_most_changed_to_the_least() -> None:
    texts = [("abcd efgh", "abcd efgh"), ("abcd", "abcx"), ("abcd", "wxyz"), ("ab", "ax")]
    found = text_changes(pairs(*texts), ENGLISH)
    assert [each.clip for each in found.examples] == ["2.wav", "3.wav", "1.wav"]


def test_text_where_float32_has_none() -> None:
    changed = Changed("words", 3, 0)
    assert changed.share == 1.0
    assert changed.in_words == "3 words where float32 has none"


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("same", "sane", ('"same"', '"sane"')),
        ("", "said", ('""', '"said"')),
        (f"{'a' * 60}b", f"{'a' * 60}", (f'"…{"a" * 24}b"', f'"…{"a" * 24}"')),
    ],
)
def test_an_excerpt_shows_the_first_difference(before: str, after: str, shown: object) -> None:
    assert excerpt(before, after) == shown
