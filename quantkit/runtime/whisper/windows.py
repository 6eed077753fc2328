"""Clips of any length, a window of 30 seconds at a time.

A clip that fits into one window is processed once. For a longer one the decoder writes timestamps,
and the next window begins at the end of the last complete segment (Radford et al. 2022, section
3.8). The last window of a clip may be cut behind it (:mod:`quantkit.runtime.whisper.cut_windows`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.runtime.encoder_decoder.network import Network, States
from quantkit.runtime.whisper.cut_windows import ends_early, frames_computed
from quantkit.runtime.whisper.fallback import WindowText, text_of_window
from quantkit.runtime.whisper.rules import Rules
from quantkit.runtime.whisper.timing import TimedToken, TokenTimer, spectrum_levels
from quantkit.text.decoding import WHOLE, Decoding
from quantkit.text.whisper_vocabulary import (
    DECODER_POSITIONS,
    TIMESTAMP_STEP,
    WhisperVocabulary,
)

# Tokens of the previous text in the prompt.
_LONGEST_MEMORY = DECODER_POSITIONS // 2 - 1
# A text sampled at a higher temperature is not used as a prompt for the next.
_HOTTEST_MEMORY = 0.5


@dataclass(frozen=True)
class HeardWindow:
    """One window and its text.

    Args:
        start: its first frame in the clip.
        language: code of the language; empty for an English-only model.
        tokens: text and times, without the prompt.
        frames: that the encoder computed.
        said: when each token of the text was said; empty where nobody asked.
    """

    start: int
    language: str
    tokens: tuple[int, ...]
    frames: int
    said: tuple[TimedToken, ...] = ()


@dataclass(frozen=True)
class _Heard:
    language: str
    frames: int
    text: WindowText
    encoded: States


class Listener:
    """Hears clips with a network.

    Args:
        width: of the beam; 1 is greedy.
        timer: finds when tokens were said; None: nobody asks.
    """

    def __init__(
        self,
        network: Network,
        vocabulary: WhisperVocabulary,
        frontend: WhisperFrontend,
        decoding: Decoding,
        width: int,
        timer: TokenTimer | None = None,
    ) -> None:
        self.timer = timer
        self.network = network
        self.vocabulary = vocabulary
        self.frontend = frontend
        self.decoding = decoding
        self.width = width

    def windows(self, features: FloatArray) -> Iterator[HeardWindow]:
        """Hear one clip.

        Args:
            features: (frames, mel_bands) that the front end made: the clip and a silent window.
        """
        length = self.frontend.window_frames
        end = len(features) - length
        timestamps = self.decoding.timestamps or (end > length and bool(self.vocabulary.times))
        rules = Rules(self.vocabulary, timestamps)
        random = np.random.default_rng(self.decoding.seed)
        language, start = self.decoding.language or self.vocabulary.language, 0
        before: tuple[int, ...] = ()
        while start < end:
            size = min(length, end - start)
            heard = self._heard(features, start, size, language, before, rules, random)
            language, found = heard.language, heard.text
            tokens = () if found.silent else found.hypothesis.tokens
            finished, moved = _finished(tokens, self.vocabulary, size)
            yield HeardWindow(
                start,
                language,
                finished,
                heard.frames,
                self._said(heard, finished, features[start : start + size]),
            )
            warm = found.temperature > _HOTTEST_MEMORY
            before = () if warm else (*before, *finished)[-_LONGEST_MEMORY:]
            start += moved

    def _heard(
        self,
        features: FloatArray,
        start: int,
        size: int,
        language: str,
        before: Sequence[int],
        rules: Rules,
        random: np.random.Generator,
    ) -> _Heard:
        """The window at ``start``: cut behind ``size`` frames, and whole where that text is
        doubtful."""
        whole = self.frontend.window_frames
        silence = WHOLE if self.decoding.window is None else self.decoding.window
        cut = frames_computed(self.frontend, size, silence)
        for frames in dict.fromkeys((cut, whole)):
            is_cut = frames < whole
            encoded = self.encode(features, start, frames)
            spoken = language or self.language(encoded)
            # Sampling is for what a whole window does not help.
            first = self.decoding.temperatures[:1]
            found = text_of_window(
                self.network,
                rules,
                encoded,
                self._prompt(spoken, before, rules.timestamps),
                replace(self.decoding, temperatures=first) if is_cut else self.decoding,
                self.width,
                random,
                cut=is_cut,
            )
            speech = features[start : start + size]
            if not found.doubtful and not ends_early(
                found.hypothesis.tokens, self.frontend, speech
            ):
                break
        return _Heard(spoken, frames, found, encoded)

    def _said(
        self, heard: _Heard, tokens: Sequence[int], spectrum: FloatArray
    ) -> tuple[TimedToken, ...]:
        if self.timer is None:
            return ()
        text = [token for token in tokens if token not in self.vocabulary.times]
        prompt = self._prompt(heard.language, (), timestamps=False)
        return self.timer(heard.encoded, prompt, text, spectrum_levels(spectrum))

    def encode(self, features: FloatArray, start: int = 0, frames: int | None = None) -> States:
        """The window that begins at frame ``start``.

        Args:
            frames: that are computed; None: a whole window.
        """
        window = features[start : start + (frames or self.frontend.window_frames)]
        return self.network.encode(np.ascontiguousarray(window.T[None]))

    def language(self, encoded: States) -> str:
        """The likeliest language of a window; empty for an English-only model."""
        languages = self.vocabulary.languages
        if not languages:
            return ""
        start = np.array([[self.vocabulary.start]])
        log_probs, _ = self.network.step(start, encoded, self.network.empty_memory())
        return max(languages, key=lambda code: log_probs[0, 0, languages[code]])

    def _prompt(self, language: str, before: Sequence[int], timestamps: bool) -> list[int]:
        prompt = self.vocabulary.prompt(
            language, translate=self.decoding.translate, timestamps=timestamps
        )
        return [self.vocabulary.previous, *before, *prompt] if before else prompt


def _finished(
    tokens: tuple[int, ...], vocabulary: WhisperVocabulary, size: int
) -> tuple[tuple[int, ...], int]:
    """The tokens of segments that end in this window, and how far the next window is, in frames.

    Args:
        size: frames of the clip in this window.
    """
    is_time = [token in vocabulary.times for token in tokens]
    # A segment ends and the next begins.
    pairs = [i + 1 for i in range(len(tokens) - 1) if is_time[i] and is_time[i + 1]]
    if not pairs or is_time[-2:] == [False, True]:
        return tokens, size
    last = tokens[pairs[-1] - 1] - vocabulary.timestamps
    # A frame of the spectrum is 10 ms. A time beyond the clip would move past its end.
    moved = min(round(100 * last * TIMESTAMP_STEP), size)
    return tokens[: pairs[-1]], moved or size
