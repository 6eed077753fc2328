"""Clips beyond 30 seconds, silence, failures: window by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.runtime.whisper.fallback import compression
from quantkit.runtime.whisper.windows import Listener
from quantkit.text.decoding import Decoding
from quantkit.text.whisper_vocabulary import WhisperVocabulary

A, B, END = 0, 1, 5
FRONTEND = WhisperFrontend(mel_bands=2)
GREEDY = Decoding(temperatures=(0.0,))


def clip(seconds: int) -> np.ndarray:
    frames = 100 * seconds + FRONTEND.window_frames
    return np.tile(np.arange(frames, dtype=np.float32)[:, None], 2)


def listener(
    network: object, vocabulary: WhisperVocabulary, decoding: Decoding = GREEDY
) -> Listener:
    return Listener(network, vocabulary, FRONTEND, decoding, width=1)  # type: ignore[arg-type]


def once(text: Sequence[int]) -> Mapping[int, float]:
    """``a``, and no more."""
    return {END: 1.0} if text[-1:] == [A] else {A: 1.0}


def test_a_short_clip_is_one_window_without_times(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    network = scripted(once)
    (window,) = listener(network, vocabulary).windows(clip(7))
    assert (window.start, window.tokens) == (0, (A,))
    assert network.prompts == [(vocabulary.start, vocabulary.no_timestamps)]
    assert network.windows[0].shape == (1, 2, 3_000)


def test_a_long_clip_goes_on_where_the_last_segment_ended(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    first = vocabulary.timestamps
    script = (first, A, first + 1_000, first + 1_000, B, END)

    def timed(tokens: Sequence[int]) -> Mapping[int, float]:
        begun = len(tokens) - 1 - max(i for i, t in enumerate(tokens) if t == vocabulary.start)
        return {script[begun]: 1.0}

    network = scripted(timed)
    windows = list(listener(network, vocabulary).windows(clip(50)))
    # The second segment of a window is not finished: it is heard again in the next.
    assert [window.start for window in windows] == [0, 2_000, 4_000]
    assert windows[0].tokens == (first, A, first + 1_000)
    # The next window is told what was said before.
    told = (vocabulary.previous, *windows[0].tokens, vocabulary.start)
    assert network.prompts[1] == told
    assert network.windows[1][0, 0, 0] == 2_000


def test_a_window_without_finished_segments_moves_on_as_a_whole(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    first = vocabulary.timestamps

    def one_segment(tokens: Sequence[int]) -> Mapping[int, float]:
        text = tokens[tokens.index(vocabulary.start) + 1 :]
        return {first: 1.0} if not text else {A: 1.0} if text == [first] else {END: 1.0}

    windows = list(listener(scripted(one_segment), vocabulary).windows(clip(61)))
    assert [window.start for window in windows] == [0, 3_000, 6_000]


def test_where_nobody_speaks_there_is_no_text(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    def unsure(tokens: Sequence[int]) -> Mapping[int, float]:
        if tokens[-1] == vocabulary.start:
            return {vocabulary.no_speech: 0.9, A: 0.1}
        return dict.fromkeys((0, 1, 3, 4, END), 0.2)

    (window,) = listener(scripted(unsure), vocabulary).windows(clip(3))
    assert window.tokens == ()


def test_a_text_that_repeats_itself_is_tried_again_hotter(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    def stuck(tokens: Sequence[int]) -> Mapping[int, float]:
        text = [token for token in tokens if token < END]
        return {A: 0.6, END: 0.4} if text else {A: 1.0}

    hot = replace(GREEDY, temperatures=(0.0, 1.0))
    (cold_window,) = listener(scripted(stuck), vocabulary).windows(clip(3))
    (hot_window,) = listener(scripted(stuck), vocabulary, hot).windows(clip(3))
    assert len(cold_window.tokens) == 224
    assert len(hot_window.tokens) < 20


def test_the_language_is_the_likeliest(scripted: type, vocabulary: WhisperVocabulary) -> None:
    known = replace(
        vocabulary, languages={"en": 8, "de": 7}, transcribe=9, translate=9, no_speech=6
    )

    def german(tokens: Sequence[int]) -> Mapping[int, float]:
        return {7: 0.9, 8: 0.1} if tokens == [known.start] else once(tokens)

    network = scripted(german)
    (window,) = listener(network, known).windows(clip(3))
    assert window.language == "de"
    assert network.prompts[1][:2] == (known.start, 7)


@pytest.mark.parametrize(("text", "low", "high"), [("ab" * 200, 10, 100), ("abcdefg", 0, 1)])
def test_compression_tells_repetition(text: str, low: float, high: float) -> None:
    assert low < compression(text) < high


def test_a_model_without_times_hears_whole_windows(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    untimed = replace(vocabulary, timestamps=-1, outputs=vocabulary.size)
    network = scripted(once)
    windows = list(listener(network, untimed).windows(clip(50)))
    assert [window.start for window in windows] == [0, 3_000]
    assert [window.tokens for window in windows] == [(A,), (A,)]
    assert all(prompt[-1] == vocabulary.no_timestamps for prompt in network.prompts)


def test_the_language_of_the_settings_is_not_detected(
    scripted: type, vocabulary: WhisperVocabulary
) -> None:
    german = replace(
        vocabulary, languages={"en": 20, "de": 21}, transcribe=22, translate=23, language="de"
    )
    network = scripted(once)
    (window,) = listener(network, german).windows(clip(7))
    assert window.language == "de"
    assert len(network.prompts) == 1
