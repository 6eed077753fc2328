"""Windows that end behind the clip, and the whole ones that stand in for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantkit.arrays import FloatArray, IntArray
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import InputError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.whisper.cut_windows import (
    frames_computed,
    repeats_itself,
    window_of,
    with_window,
)
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.runtime.whisper.windows import HeardWindow, Listener
from quantkit.text.decoding import WHOLE, Decoding
from quantkit.text.whisper_vocabulary import WhisperVocabulary

A, B, D, END = 0, 1, 4, 5
FRONTEND = WhisperFrontend(mel_bands=2)
CUT = Decoding(temperatures=(0.0,), window=0.5)


def clip(seconds: float, audible: float = 0.01) -> FloatArray:
    """Of which so many seconds are no pause, or one frame of each window."""
    features = np.full((round(100 * seconds) + FRONTEND.window_frames, 2), -0.8, np.float32)
    features[:: FRONTEND.window_frames] = 1.0
    features[: round(100 * audible)] = 1.0
    return features


class Hearing:
    """Hears a clip of so many seconds with a decoder that says what ``says`` finds.

    Args:
        says: is given the text so far, and whether the window is whole.
    """

    def __init__(self, scripted: type, vocabulary: WhisperVocabulary, says: object) -> None:
        def script(tokens: Sequence[int]) -> Mapping[int, float]:
            text = [token for token in tokens if token < END]
            found: Mapping[int, float] = says(text, self.frames[-1] == 3_000)  # type: ignore[operator]
            return found

        self.network = scripted(script)
        self.vocabulary = vocabulary

    @property
    def frames(self) -> list[int]:
        return [window.shape[2] for window in self.network.windows]

    def hear(
        self, seconds: float, decoding: Decoding = CUT, width: int = 1, audible: float = 0.01
    ) -> list[HeardWindow]:
        listener = Listener(self.network, self.vocabulary, FRONTEND, decoding, width)
        return list(listener.windows(clip(seconds, audible)))


def once(text: Sequence[int], whole: bool) -> Mapping[int, float]:
    return {END: 1.0} if text else {A: 1.0}


@pytest.mark.parametrize(
    ("frames", "silence", "computed"),
    [
        (1_500, 0.5, 1_550),
        (1_501, 0.0, 1_502),
        (2_990, 1.0, 3_000),
        (1_500, WHOLE, 3_000),
        (1_500, 30, 3_000),
    ],
)
def test_a_window_is_the_clip_and_silence_of_an_even_number_of_frames(
    frames: int, silence: float, computed: int
) -> None:
    assert frames_computed(FRONTEND, frames, silence) == computed


@pytest.mark.parametrize(("frames", "computed"), [(10, 1_200), (1_100, 1_200), (1_190, 1_240)])
def test_no_window_is_shorter_than_twelve_seconds(frames: int, computed: int) -> None:
    assert frames_computed(FRONTEND, frames, 0.5) == computed


def test_the_encoder_gets_the_frames_of_the_window(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    hearing = Hearing(scripted, vocabulary, once)
    (window,) = hearing.hear(15)
    assert (hearing.frames, window.frames, window.tokens) == ([1_550], 1_550, (A,))


def test_clips_of_one_run_have_windows_of_their_own(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    hearing = Hearing(scripted, vocabulary, once)
    for seconds in (15, 13, 29.8):
        hearing.hear(seconds)
    assert hearing.frames == [1_550, 1_350, 3_000]


def test_only_the_last_window_of_a_long_clip_is_cut(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    untimed = replace(vocabulary, timestamps=-1, outputs=vocabulary.size)
    hearing = Hearing(scripted, untimed, once)
    assert [window.start for window in hearing.hear(75)] == [0, 3_000, 6_000]
    # There, this decoder ends at once, because it is told what was said before.
    assert hearing.frames == [3_000, 3_000, 1_550, 3_000]


@pytest.mark.parametrize("width", [1, 2])
def test_a_clip_whose_text_repeats_itself_is_heard_again_as_a_whole(
    scripted: type, vocabulary: WhisperVocabulary, width: int
) -> None:
    phrase = [A, B, D, B, A, A]

    def stuck(text: Sequence[int], whole: bool) -> Mapping[int, float]:
        if whole and len(text) == len(phrase):
            return {END: 1.0}
        return dict.fromkeys((A, B, D), 0.02) | {phrase[len(text) % len(phrase)]: 0.9}

    hearing = Hearing(scripted, vocabulary, stuck)
    steps: list[int] = []
    step = hearing.network.step

    def counted(tokens: IntArray, *rest: Any) -> Any:
        steps.append(len(tokens))
        return step(tokens, *rest)

    hearing.network.step = counted
    (window,) = hearing.hear(15, width=width)
    assert hearing.frames == [1_550, 3_000]
    assert (window.frames, list(window.tokens)) == (3_000, phrase)
    # The text is given up where it begins to repeat itself, not after 224 tokens.
    assert len(steps) < 30


def test_an_unlikely_text_is_heard_again_before_anything_is_sampled(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    def unsure(text: Sequence[int], whole: bool) -> Mapping[int, float]:
        return once(text, whole) if whole else dict.fromkeys((A, B, 3, D, END), 0.2)

    hearing = Hearing(scripted, vocabulary, unsure)
    (window,) = hearing.hear(15, replace(CUT, temperatures=(0.0, 1.0)))
    assert (hearing.frames, window.tokens) == ([1_550, 3_000], (A,))
    assert len(hearing.network.prompts) == 2


def test_a_text_without_an_end_is_heard_again(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    random = np.random.default_rng(0)
    endless = [int(token) for token in random.choice([A, B, D], 300)]

    def going_on(text: Sequence[int], whole: bool) -> Mapping[int, float]:
        return once(text, whole) if whole else {endless[len(text)]: 1.0}

    hearing = Hearing(scripted, vocabulary, going_on)
    assert hearing.hear(15)[0].tokens == (A,)
    assert hearing.frames == [1_550, 3_000]


def test_a_text_that_a_whole_window_would_keep_is_too_unlikely_for_a_cut_one(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    def likely(text: Sequence[int], whole: bool) -> Mapping[int, float]:
        return once(text, whole) if whole else {**dict.fromkeys((A, B, D), 0.18), END: 0.46}

    hearing = Hearing(scripted, vocabulary, likely)
    hearing.hear(15)
    assert hearing.frames == [1_550, 3_000]


@pytest.mark.parametrize(("audible", "frames"), [(0.5, [1_550]), (0.6, [1_550, 3_000])])
def test_a_text_that_ends_long_before_the_speech_is_heard_again(
    audible: float, frames: list[int], scripted: type, vocabulary: WhisperVocabulary
) -> None:
    hearing = Hearing(scripted, vocabulary, once)
    hearing.hear(15, audible=audible)
    assert hearing.frames == frames


def test_whole_windows_are_heard_once_whatever_they_say(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    hearing = Hearing(scripted, vocabulary, lambda text, whole: {A: 1.0})
    (window,) = hearing.hear(15, replace(CUT, window=WHOLE))
    assert (hearing.frames, len(window.tokens)) == ([3_000], 224)


@pytest.mark.parametrize(
    ("tokens", "repeats"),
    [
        ([], False),
        ([1, 1, 1, 1, 1], False),
        ([1, 1, 1, 1, 1, 1], True),
        ([1, 2, 1, 2], False),
        ([9, 1, 2, 1, 2, 1, 2, 1], True),
        ([9, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5], True),
        ([9, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6], False),
        ([1, 2, 3, 4, 1, 2, 3, 4], False),
    ],
)
def test_five_tokens_said_again_are_a_repetition(tokens: list[int], repeats: bool) -> None:
    assert repeats_itself(tokens) is repeats
    assert repeats_itself(tuple(tokens)) is repeats


def test_an_artifact_says_which_windows_it_is_for() -> None:
    info = ArtifactInfo(extra={"other": "kept"})
    assert window_of(info) == WHOLE
    cut = with_window(info, 0.5)
    assert (window_of(cut), cut.extra) == (0.5, {"other": "kept", "window": "0.5"})
    assert with_window(cut, WHOLE) == info
    with pytest.raises(InputError, match="0 seconds of silence behind the clip or more"):
        with_window(info, -1.0)
    with pytest.raises(ModelError, match=r"`quantkit\.window` is 'wide'"):
        window_of(ArtifactInfo(extra={"window": "wide"}))


@pytest.mark.parametrize(("asked", "frames"), [(None, 1_550), (2.0, 1_700), (WHOLE, 3_000)])
def test_a_model_listens_as_its_artifact_says_unless_asked_otherwise(
    scripted: type, vocabulary: WhisperVocabulary, asked: float | None, frames: int
) -> None:
    network = scripted(lambda tokens: {END: 1.0} if tokens[-1] == A else {A: 1.0})
    info = ArtifactInfo(task="whisper", vocabulary=vocabulary, frontend=FRONTEND)
    model = WhisperModel(with_window(info, 0.5), network, Decoding(window=asked))
    model.outputs([clip(15)])
    assert network.windows[0].shape[2] == frames
    assert ("windows of the clip" in model.decoder_in_words) is (frames < 3_000)
