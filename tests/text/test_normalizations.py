"""What may be made equal before texts are compared."""

from __future__ import annotations

import pytest

from quantkit.errors import InputError
from quantkit.text.labels import Labels
from quantkit.text.normalizations import NORMALIZATIONS, loses_vowel_signs
from quantkit.text.scoring import KeywordScoring, LabelScoring, WrittenTextScoring, scoring_of

TEXT = "It’s  the ﬁrst, COLOUR — “हिन्दी”!"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", "It’s the ﬁrst, COLOUR — “हिन्दी”!"),
        ("nfkc", "It’s the first, COLOUR — “हिन्दी”!"),
        ("basic", "it's the first colour हिन्दी"),
    ],
)
def test_each_makes_more_equal_than_the_one_before(name: str, expected: str) -> None:
    assert NORMALIZATIONS[name](TEXT, "en") == expected


def test_basic_folds_case_by_language() -> None:
    assert NORMALIZATIONS["basic"]("IĞDIR", "tr") == "ığdır"
    assert NORMALIZATIONS["basic"]("IĞDIR", "en") == "iğdir"


@pytest.mark.parametrize(
    ("text", "language"), [("हिन्दी में", "hi"), ("ที่นี่", "th"), ("বাংলা", "bn"), ("தமிழ்", "ta")]
)
def test_the_published_one_loses_vowel_signs_and_basic_does_not(text: str, language: str) -> None:
    assert loses_vowel_signs(text, NORMALIZATIONS["published"](text, language))
    assert not loses_vowel_signs(text, NORMALIZATIONS["basic"](text, language))


@pytest.mark.parametrize(("text", "language"), [("Café crème", "fr"), ("Привет, мир!", "ru")])
def test_accents_are_no_vowel_signs(text: str, language: str) -> None:
    assert not loses_vowel_signs(text, NORMALIZATIONS["published"](text, language))


def test_texts_are_compared_under_the_normalization_that_is_named() -> None:
    own = LabelScoring(Labels.english())
    assert scoring_of(own, "") is own
    assert scoring_of(WrittenTextScoring(), "published") == WrittenTextScoring()
    strict = scoring_of(own, "none")
    assert strict.normalized("Hello, you") == "Hello, you"
    assert strict.heard("hello you") == "hello you"
    assert strict.covers("Hello, you")
    assert (strict.unit, strict.has_words) == (own.unit, True)


def test_other_names_and_classes_are_refused() -> None:
    with pytest.raises(InputError, match="no normalization 'x'; choose one of nfkc, basic"):
        scoring_of(WrittenTextScoring(), "x")
    with pytest.raises(InputError, match="classes are right or wrong"):
        scoring_of(KeywordScoring(("yes",)), "basic")
