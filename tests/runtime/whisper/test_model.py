"""Texts and times of what a Whisper says."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.speech_model import Segment
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.text.whisper_vocabulary import WhisperVocabulary

A, B = 0, 1


@pytest.fixture
def model(scripted: type, vocabulary: WhisperVocabulary) -> WhisperModel:
    frontend = WhisperFrontend(mel_bands=2)
    info = ArtifactInfo(task="whisper", vocabulary=vocabulary, frontend=frontend)
    return WhisperModel(info, scripted(lambda tokens: {A: 1.0}))


def test_a_text_without_times_has_no_segments(model: WhisperModel) -> None:
    output = np.array([[A, 0], [B, 0]])
    assert model.text_of(output) == "ab"
    assert model.segments_of(output) == ()


def test_segments_of_later_windows_begin_where_these_do(model: WhisperModel) -> None:
    first = model.vocabulary.timestamps
    heard = [(first + 3, 0), (A, 0), (first + 255, 0), (first, 512), (B, 512), (first + 7, 512)]
    segments = model.segments_of(np.array(heard))
    # As people write seconds: three steps are 0.06, and not 0.06 and a bit.
    assert segments == (Segment(0.06, 5.1, "a"), Segment(5.12, 5.26, "b"))


def test_a_text_that_was_cut_off_ends_with_its_window(model: WhisperModel) -> None:
    first = model.vocabulary.timestamps
    heard = [(first, 0), (A, 0), (first + 50, 0), (first + 50, 0), (B, 0)]
    assert model.segments_of(np.array(heard)) == (Segment(0.0, 1.0, "a"), Segment(1.0, 30.0, "b"))
