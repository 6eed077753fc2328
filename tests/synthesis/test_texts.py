"""Texts: plain, varied, reproducible."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.synthesis import inflection, vocabulary
from quantkit.synthesis import sentences as texts
from quantkit.synthesis.sentences import KINDS, WORDS_PER_TEXT, Kind, sentences

PLAIN = re.compile(r"[a-z']+( [a-z']+)*")


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_holds_only_letters_spaces_and_apostrophes(kind: Kind) -> None:
    assert all(PLAIN.fullmatch(text) for text in sentences(kind, 500, seed=3))


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_as_long_as_its_kind_says(kind: Kind) -> None:
    fewest, most = WORDS_PER_TEXT[kind]
    assert all(fewest <= len(text.split()) <= most for text in sentences(kind, 500, seed=4))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_texts_and_another_seed_others(kind: Kind) -> None:
    assert sentences(kind, 30, seed=1) == sentences(kind, 30, seed=1)
    assert sentences(kind, 30, seed=1) != sentences(kind, 30, seed=2)


def test_a_longer_corpus_begins_like_a_shorter_one() -> None:
    assert sentences("sentences", 40, seed=5)[:10] == sentences("sentences", 10, seed=5)


def test_sentences_hardly_ever_repeat() -> None:
    assert len(set(sentences("sentences", 2000, seed=6))) > 1990


def test_the_vocabulary_is_large() -> None:
    lists = (value for name, value in vars(vocabulary).items() if name.isupper())
    typed = {word for entries in lists for entry in entries for word in entry.split()}
    assert len(typed) >= 2400
    assert len({word for text in sentences("long", 3000, seed=7) for word in text.split()}) > 4000


def test_single_words_include_every_command_word_often() -> None:
    drawn = sentences("words", 4000, seed=8)
    assert all(drawn.count(word) >= 20 for word in vocabulary.COMMANDS)


def test_without_a_dictionary_our_own_words_are_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(texts, "DICTIONARY", tmp_path / "absent")
    texts.dictionary_words.cache_clear()
    try:
        assert len(sentences("words", 50, seed=1)) == 50
    finally:
        texts.dictionary_words.cache_clear()


def test_a_dictionary_gives_only_short_plain_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dictionary = tmp_path / "words"
    dictionary.write_text("zebra\nZurich\ndon't\nextraordinarily\nx\nhmm\ncafé\nrhythm\n", "utf-8")
    monkeypatch.setattr(texts, "DICTIONARY", dictionary)
    texts.dictionary_words.cache_clear()
    try:
        assert texts.dictionary_words() == ("zebra", "rhythm")
    finally:
        texts.dictionary_words.cache_clear()


def test_an_unknown_kind_is_an_input_error() -> None:
    with pytest.raises(InputError, match="unknown kind of text 'poems'"):
        sentences("poems", 1, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "word", "expected"),
    [
        (inflection.plural, "box", "boxes"),
        (inflection.plural, "story", "stories"),
        (inflection.plural, "day", "days"),
        (inflection.plural, "mouse", "mice"),
        (inflection.third_person, "go", "goes"),
        (inflection.third_person, "carry", "carries"),
        (inflection.past, "drop", "dropped"),
        (inflection.past, "listen", "listened"),
        (inflection.past, "look", "looked"),
        (inflection.past, "marry", "married"),
        (inflection.past, "travel", "travelled"),
        (inflection.past, "write", "wrote"),
        (inflection.past_participle, "write", "written"),
        (inflection.past_participle, "paint", "painted"),
        (inflection.present_participle, "lie", "lying"),
        (inflection.present_participle, "dance", "dancing"),
        (inflection.present_participle, "run", "running"),
        (inflection.present_participle, "flee", "fleeing"),
    ],
)
def test_words_are_inflected_as_in_english(form: object, word: str, expected: str) -> None:
    assert callable(form)
    assert form(word) == expected
