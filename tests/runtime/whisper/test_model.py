"""Texts and times of what a Whisper says."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.speech_model import Output, Segment
from quantkit.runtime.whisper.model import TOKEN, WhisperModel
from quantkit.text.whisper_vocabulary import WhisperVocabulary

A, B, SPACE = 0, 1, 3


def tokens(*rows: tuple[int, int]) -> Output:
    """Tokens with the frames at which their windows begin; nobody asked for their times."""
    return np.array([(token, window, np.nan, np.nan, np.nan) for token, window in rows], TOKEN)


@pytest.fixture
def model(scripted: type, vocabulary: WhisperVocabulary) -> WhisperModel:
    frontend = WhisperFrontend(mel_bands=2)
    info = ArtifactInfo(task="whisper", vocabulary=vocabulary, frontend=frontend)
    return WhisperModel(info, scripted(lambda tokens: {A: 1.0}))


def test_a_text_without_times_has_no_segments(model: WhisperModel) -> None:
    output = tokens((A, 0), (B, 0))
    assert model.text_of(output) == "ab"
    assert model.segments_of(output) == ()
    assert model.words_of(output, 1.0) == ()


def test_words_are_in_their_windows(model: WhisperModel) -> None:
    said = [
        (model.vocabulary.timestamps, 0, np.nan, np.nan, np.nan),
        (A, 0, 0.5, 0.7, np.log(0.9)),
        (B, 0, 0.7, 1.0, np.log(0.4)),
        (SPACE, 512, 0.0, 0.1, 0.0),
        (A, 512, 0.1, 0.2, 0.0),
    ]
    first, second = model.words_of(np.array(said, TOKEN), 10.0)
    assert (first.text, first.start, first.end) == ("ab", 0.5, 1.0)
    assert first.confidence == pytest.approx(0.6, abs=1e-4)
    assert (second.text, second.start, second.end) == ("a", 5.22, 5.32)


def test_segments_of_later_windows_begin_where_these_do(model: WhisperModel) -> None:
    first = model.vocabulary.timestamps
    heard = [(first + 3, 0), (A, 0), (first + 255, 0), (first, 512), (B, 512), (first + 7, 512)]
    segments = model.segments_of(tokens(*heard))
    # As people write seconds: three steps are 0.06, and not 0.06 and a bit.
    assert segments == (Segment(0.06, 5.1, "a"), Segment(5.12, 5.26, "b"))


def test_a_text_that_was_cut_off_ends_with_its_window(model: WhisperModel) -> None:
    first = model.vocabulary.timestamps
    heard = [(first, 0), (A, 0), (first + 50, 0), (first + 50, 0), (B, 0)]
    assert model.segments_of(tokens(*heard)) == (Segment(0.0, 1.0, "a"), Segment(1.0, 30.0, "b"))
