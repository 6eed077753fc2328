"""What a Whisper takes for clips without transcripts: their spectrograms, and its own text.

The decoder is observed on the text that the float model writes, given at once. That is the text
that the quantized model shall write, too, and needs nobody to write it down.

A window of 30 seconds costs the same however much is said in it. So short clips of one language
share one: what is learnt of a model for the same work is three or four times as much. An artifact
whose windows end behind the clip is observed through such windows, each of one clip.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.audio.features import Check, checked_windows
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.audio.waveform import require_speech
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import AudioError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.speech_model import Output
from quantkit.runtime.whisper.cut_windows import SHORTEST_SECONDS, window_of
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.runtime.whisper.windows import HeardWindow, Listener
from quantkit.tasks.inputs import ClipInputs, Feed, Portion
from quantkit.text.decoding import TEMPERATURES, WHOLE, Decoding
from quantkit.text.whisper_vocabulary import WhisperVocabulary

# A clip that is heard as one, and the pieces of a longer one: their spectrograms are in memory.
_LONGEST_SECONDS, _PIECE_SECONDS = 400.0, 300.0
# Between clips that share a window.
_PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class _Recording:
    """One long clip, a piece of a very long one, or some short ones.

    Args:
        clips: of the corpus that begin in it: none, where it is a later piece of one.
    """

    names: tuple[str, ...]
    language: str
    samples: FloatArray
    clips: int = 1

    @property
    def name(self) -> str:
        more = len(self.names) - 1
        return f"{self.names[0]} and {more} more" if more else self.names[0]


class WhisperInputs(ClipInputs):
    """Windows as the encoder hears them, and the tokens that the float model writes for each."""

    def __init__(self, info: ArtifactInfo, model: Path | None = None) -> None:
        super().__init__(info, model)
        self._silence = window_of(info)
        # Results that the next round reuses, by the name of the recording.
        self._windows: dict[str, tuple[HeardWindow, ...]] = {}
        self._portions: dict[str, Portion] = {}

    def feeds(self, corpus: Corpus, skipped: list[str]) -> Iterator[Feed]:
        """One feed for each window, with its name.

        Raises:
            ModelError: the float model is not at hand, or is no Whisper.
            CorpusError: at the end, when not a single clip was usable.
        """
        if self.model is None:
            raise ModelError(
                "calibrating a Whisper needs the path of the float model: its decoder is observed "
                "on the text that the model itself writes"
            )
        model = WhisperModel.load(self.model, threads=0, check=False)
        frontend = model.listener.frontend
        self.steady.clear()
        usable = False
        recordings = recordings_of(
            corpus, frontend, skipped, self.check, shared_windows=self._silence == WHOLE
        )
        for recording in recordings:
            usable = True
            features = frontend(recording.samples)
            if recording.name not in self._windows:
                listener = listener_of(model, recording.language, self._silence)
                self._windows[recording.name] = tuple(listener.windows(features))
            for window in self._windows[recording.name]:
                name = f"{recording.name} at {window.start}" if window.start else recording.name
                left = len(features) - window.start - frontend.window_frames
                seconds = frontend.seconds_of(min(left, frontend.window_frames))
                clips = 0 if window.start else recording.clips
                self._portions[name] = Portion(clips, seconds)
                yield name, _feed(model, features, window)
        if not usable:
            raise corpus.none_usable(skipped)

    def portion(self, clip: str, inputs: Mapping[str, Array]) -> Portion:
        """The clip's part of a window; all of a window from elsewhere."""
        frontend = self.info.frontend
        if frontend is None or not inputs:
            return Portion(1, 0.0)
        known = self._portions.get(clip)
        return known or Portion(1, frontend.seconds_of(inputs["features"].shape[2]))

    def computed_seconds(self, clips: int, seconds: float) -> float:
        """Of windows with their padding, which is as dear as speech."""
        frontend = self.info.frontend
        if isinstance(frontend, WhisperFrontend):
            whole = clips * float(frontend.window_seconds)
            return min(whole, max(clips * SHORTEST_SECONDS, seconds + clips * self._silence))
        return seconds

    def as_many_as(self, usual: int, clips: int, seconds: float) -> int:
        """Of windows that are cut, as many as hold what so many whole ones do."""
        frontend = self.info.frontend
        computed = self.computed_seconds(clips, seconds)
        if not isinstance(frontend, WhisperFrontend) or not computed:
            return usual
        return math.ceil(usual * clips * frontend.window_seconds / computed)

    def unknown_languages(self, codes: Collection[str]) -> tuple[str, ...]:
        """Those without a token."""
        vocabulary = self.info.vocabulary
        if not isinstance(vocabulary, WhisperVocabulary):
            return ()
        known: Collection[str] = vocabulary.languages or ("en",)
        return tuple(code for code in codes if code not in known)


def recordings_of(
    corpus: Corpus,
    frontend: WhisperFrontend,
    skipped: list[str],
    check: Check,
    *,
    shared_windows: bool,
) -> Iterator[_Recording]:
    """Clips in their order; those that fit may share a window with the one before."""
    rate = frontend.sample_rate
    longest = rate * frontend.window_seconds
    pause = np.zeros(round(rate * _PAUSE_SECONDS), np.float32)
    shared: _Recording | None = None
    for clip in corpus:
        for own in _pieces(clip, frontend, skipped, check):
            if shared is None:
                shared = own
                continue
            together = len(shared.samples) + len(pause) + len(own.samples)
            fits = shared_windows and together <= longest
            if fits and shared.language == own.language:
                joined = np.concatenate((shared.samples, pause, own.samples))
                names = (*shared.names, *own.names)
                shared = _Recording(names, own.language, joined, shared.clips + own.clips)
            else:
                yield shared
                shared = own
    if shared is not None:
        yield shared


def _pieces(
    clip: Utterance, frontend: WhisperFrontend, skipped: list[str], check: Check
) -> Iterator[_Recording]:
    """A clip, or the pieces of one of many minutes."""
    try:
        if not clip.has_audio:
            raise AudioError(f"{clip.identifier}: has features only, and Whisper has its own")
        windows = checked_windows(
            clip, frontend.sample_rate, check, skipped, _LONGEST_SECONDS, _PIECE_SECONDS
        )
        for name, samples in windows:
            try:
                require_speech(samples, frontend.window)
            except AudioError as error:
                raise AudioError(f"{clip.place}: {error}") from error
            yield _Recording((name,), clip.language, samples, clips=int(name == clip.identifier))
    except AudioError as error:
        skipped.append(str(error))


def listener_of(model: WhisperModel, language: str, silence: float) -> Listener:
    """What hears greedily and without fallback: a sampled text would not be the model's own."""
    known = language if language in (model.vocabulary.languages or {}) else ""
    decoding = Decoding(language=known, temperatures=TEMPERATURES[:1], window=silence)
    usual = model.listener
    return Listener(usual.network, usual.vocabulary, usual.frontend, decoding, width=1)


def _feed(model: WhisperModel, features: FloatArray, window: HeardWindow) -> Mapping[str, Output]:
    part = features[window.start : window.start + window.frames]
    times = any(token in model.vocabulary.times for token in window.tokens)
    prompt = model.vocabulary.prompt(window.language, timestamps=times)
    tokens = [*prompt, *window.tokens]
    return {
        "features": np.ascontiguousarray(part.T[None]),
        "tokens": np.array([tokens]),
        # Of the prompt only the last token asks for anything; the last of all asks for the end.
        "positions": np.arange(len(prompt) - 1, len(tokens)),
        **model.network.first_states(),
    }
