"""Tokens of Whisper: text as bytes, prompts, and the form in an artifact."""

from __future__ import annotations

import base64
import json
import zlib

import pytest

from quantkit.errors import FormatError, InputError
from quantkit.text.whisper_names import vocabulary_of_names
from quantkit.text.whisper_vocabulary import WhisperVocabulary

STEERING = [
    "<|startoftranscript|>",
    "<|en|>",
    "<|de|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nocaptions|>",
    "<|notimestamps|>",
]
# GPT-2 writes a space as Ġ, and the bytes of é as Ã and ©.
WORDS = ["a", "b", "Ġcaf", "Ã", "©"]
ENGLISH_ONLY_END = 50_256


def named(text_tokens: int, *behind: str) -> dict[int, str]:
    names = dict(enumerate(WORDS))
    return names | dict(enumerate(["<|endoftext|>", *STEERING, *behind], start=text_tokens))


@pytest.fixture(scope="module")
def multilingual() -> WhisperVocabulary:
    end = ENGLISH_ONLY_END + 1
    return vocabulary_of_names(named(end), [-1, 1, end, end + 1], [0, end])


@pytest.fixture(scope="module")
def english() -> WhisperVocabulary:
    return vocabulary_of_names(named(ENGLISH_ONLY_END))


def test_characters_may_be_spread_over_tokens(multilingual: WhisperVocabulary) -> None:
    assert multilingual.decode([2, 3, 4]) == " café"
    assert multilingual.decode([2, 3]) == " caf�"
    assert multilingual.decode([0, multilingual.timestamps + 3, 1, multilingual.end]) == "ab"


def test_prompts_name_language_and_task(multilingual: WhisperVocabulary) -> None:
    start = multilingual.start
    assert multilingual.prompt("de") == [start, start + 2, start + 4, start + 8]
    timed = multilingual.prompt("en", translate=True, timestamps=True)
    assert timed == [start, start + 1, start + 3]
    with pytest.raises(InputError, match=r"no language 'fr'; it knows de, en"):
        multilingual.prompt("fr")


def test_an_english_only_model_has_no_languages(english: WhisperVocabulary) -> None:
    assert not english.is_multilingual
    assert english.prompt("") == [english.start, english.no_timestamps]
    with pytest.raises(InputError, match="English-only"):
        english.prompt("de")
    with pytest.raises(InputError, match="cannot translate"):
        english.prompt("en", translate=True)


def test_the_end_is_never_suppressed(multilingual: WhisperVocabulary) -> None:
    assert multilingual.suppressed == (1, multilingual.end + 1)
    assert multilingual.suppressed_first == (0, multilingual.end)


def test_times_follow_the_last_named_token(multilingual: WhisperVocabulary) -> None:
    assert multilingual.timestamps == multilingual.no_timestamps + 1
    assert multilingual.size == multilingual.timestamps + 1_501


def test_the_stored_form_is_the_same_and_small(multilingual: WhisperVocabulary) -> None:
    stored = multilingual.to_json()
    assert WhisperVocabulary.from_json(stored) == multilingual
    assert len(stored) < 2_000


@pytest.mark.parametrize("damaged", ["", "{}", "[]", '{"pieces": "AAAA"}', '{"pieces": 3}'])
def test_a_damaged_one_is_refused(damaged: str) -> None:
    with pytest.raises(FormatError, match="the vocabulary"):
        WhisperVocabulary.from_json(damaged)


def test_another_models_tokens_are_refused() -> None:
    with pytest.raises(FormatError, match=r"no token <\|endoftext\|>"):
        vocabulary_of_names({0: "<pad>", 1: "a"})
    with pytest.raises(FormatError, match="holds ' '"):
        vocabulary_of_names(dict(enumerate(["a b", "<|endoftext|>", *STEERING])))


@pytest.mark.parametrize("bomb", [zlib.compress(b"a" * (64 << 20), 9), zlib.compress(b"a\n")[:-4]])
def test_text_tokens_that_inflate_or_break_off_are_refused(
    multilingual: WhisperVocabulary, bomb: bytes
) -> None:
    content = json.loads(multilingual.to_json())
    content["pieces"] = base64.b64encode(bomb).decode()
    with pytest.raises(FormatError, match="inflate to more than any vocabulary"):
        WhisperVocabulary.from_json(json.dumps(content))


@pytest.mark.parametrize("number", ["1e999", "1" + "0" * 40, '"x"', "1.5", "7"])
def test_numbers_that_are_no_tokens_are_refused(
    multilingual: WhisperVocabulary, number: str
) -> None:
    damaged = multilingual.to_json().replace(f'"end": {multilingual.end}', f'"end": {number}')
    with pytest.raises(FormatError):
        WhisperVocabulary.from_json(damaged)
