"""Which tokens may follow, rule by rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantkit.runtime.whisper.rules import Rules
from quantkit.text.whisper_vocabulary import WhisperVocabulary


def allowed(vocabulary: WhisperVocabulary, text: list[int], *, timestamps: bool) -> set[int]:
    """Tokens that may follow where all are equally likely."""
    even = np.full(vocabulary.size, -np.log(vocabulary.size), np.float32)
    found = Rules(vocabulary, timestamps).apply(even, text)
    assert np.exp(found).sum() == pytest.approx(1.0, rel=1e-4)
    return set(np.flatnonzero(np.isfinite(found)).tolist())


def test_text_without_times(vocabulary: WhisperVocabulary) -> None:
    assert allowed(vocabulary, [0], timestamps=False) == {0, 1, 3, 4, vocabulary.end}
    # Neither silence nor the end comes first.
    assert allowed(vocabulary, [], timestamps=False) == {0, 1, 4}


def test_the_first_token_is_an_early_time(vocabulary: WhisperVocabulary) -> None:
    first = vocabulary.timestamps
    assert allowed(vocabulary, [], timestamps=True) == set(range(first, first + 51))


def test_text_follows_the_beginning_of_a_segment(vocabulary: WhisperVocabulary) -> None:
    found = allowed(vocabulary, [vocabulary.timestamps], timestamps=True)
    assert found == {0, 1, 3, 4, vocabulary.end}


def test_after_a_segment_the_next_begins_no_earlier_or_nothing_follows(
    vocabulary: WhisperVocabulary,
) -> None:
    first = vocabulary.timestamps
    found = allowed(vocabulary, [first, 0, first + 9], timestamps=True)
    # All times together are likelier than the end, so one of them it is.
    assert found == set(range(first + 9, vocabulary.size))


def test_a_segment_takes_time(vocabulary: WhisperVocabulary) -> None:
    first = vocabulary.timestamps
    found = allowed(vocabulary, [first + 4, 0], timestamps=True)
    assert min(found) == first + 5


def test_likely_text_beats_unlikely_times(vocabulary: WhisperVocabulary) -> None:
    log_probs = np.full(vocabulary.size, -20.0, np.float32)
    log_probs[1] = 0.0
    found = Rules(vocabulary, timestamps=True).apply(log_probs, [vocabulary.timestamps, 0])
    assert found.argmax() == 1


def test_what_is_left_adds_up_to_one_however_much_is_ruled_out(
    vocabulary: WhisperVocabulary,
) -> None:
    log_probs = np.full(vocabulary.size, -25.0, np.float32)
    log_probs[vocabulary.no_speech] = 0.0
    found = Rules(vocabulary).apply(log_probs, [0])
    assert np.exp(found).sum() == pytest.approx(1.0, rel=1e-4)


def test_added_words_are_text_and_padding_is_nothing(vocabulary: WhisperVocabulary) -> None:
    size = vocabulary.size
    padded = replace(vocabulary, outputs=size + 6, added={size: b"word", size + 1: b""})
    found = allowed(padded, [0], timestamps=False)
    assert found == {0, 1, 3, 4, vocabulary.end, size, size + 1}
    timed = allowed(padded, [vocabulary.timestamps], timestamps=True)
    assert timed == found
    assert max(allowed(padded, [], timestamps=True)) == vocabulary.timestamps + 50
    log_probs = np.full(padded.size, -20.0, np.float32)
    log_probs[size] = 0.0
    assert Rules(padded, timestamps=True).apply(log_probs, [10, 0]).argmax() == size
    # Behind the end of a segment no word follows, an added one no more than another.
    ended = Rules(padded, timestamps=True).apply(log_probs, [10, 0, 11])
    assert set(np.flatnonzero(np.isfinite(ended))) <= set(vocabulary.times)
