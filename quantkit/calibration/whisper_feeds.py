"""What a Whisper takes for clips without transcripts: their spectrograms, and its own text.

The decoder is observed on the text that the float model writes, given at once. That is the text
that the quantized model shall write, too, and needs nobody to write it down.

A window of 30 seconds costs the same however much is said in it. So short clips of one language
share one: what is learnt of a model for the same work is three or four times as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.decode import read_audio
from quantkit.audio.utterance import Corpus
from quantkit.audio.waveform import require_speech
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.calibration.clip_runner import Feed
from quantkit.errors import AudioError, CorpusError
from quantkit.runtime.speech_model import Output
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.runtime.whisper.windows import HeardWindow, Listener
from quantkit.text.decoding import TEMPERATURES, Decoding

# Between clips that share a window.
_PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class Portion:
    """What one feed holds.

    Args:
        recordings: clips of the corpus in it; 0 for a later window of a long one.
        seconds: of audio, without padding.
    """

    recordings: int
    seconds: float


@dataclass
class HeardBefore:
    """What need not be done again in the next round.

    Args:
        windows: by the name of the recording or recordings.
        portions: by the name of the feed.
    """

    windows: MutableMapping[str, tuple[HeardWindow, ...]]
    portions: MutableMapping[str, Portion]


@dataclass(frozen=True)
class _Recording:
    """One long clip, or some short ones."""

    names: tuple[str, ...]
    language: str
    samples: FloatArray

    @property
    def name(self) -> str:
        more = len(self.names) - 1
        return f"{self.names[0]} and {more} more" if more else self.names[0]


def whisper_feeds(
    corpus: Corpus, path: Path, skipped: list[str], before: HeardBefore
) -> Iterator[Feed]:
    """One feed for each window, with its name.

    Args:
        path: the float model.
        skipped: receives why a clip was left out.
        before: is read and added to.

    Raises:
        ModelError: ``path`` is no Whisper.
        CorpusError: at the end, when not a single clip was usable.
    """
    model = WhisperModel.load(path, threads=0, check=False)
    frontend = model.listener.frontend
    usable = False
    for recording in _recordings(corpus, frontend, skipped):
        usable = True
        features = frontend(recording.samples)
        if recording.name not in before.windows:
            listener = _listener(model, recording.language)
            before.windows[recording.name] = tuple(listener.windows(features))
        for window in before.windows[recording.name]:
            name = f"{recording.name} at {window.start}" if window.start else recording.name
            left = len(features) - window.start - frontend.window_frames
            seconds = frontend.seconds_of(min(left, frontend.window_frames))
            recordings = 0 if window.start else len(recording.names)
            before.portions[name] = Portion(recordings, seconds)
            yield name, _feed(model, features, window)
    if not usable:
        first = f"; the first: {skipped[0]}" if skipped else ""
        raise CorpusError(f"{corpus.name}: none of {len(corpus)} clips is usable{first}")


def _recordings(
    corpus: Corpus, frontend: WhisperFrontend, skipped: list[str]
) -> Iterator[_Recording]:
    """Clips in their order; those that fit share a window with the one before."""
    rate = frontend.sample_rate
    longest = rate * frontend.window_seconds
    pause = np.zeros(round(rate * _PAUSE_SECONDS), np.float32)
    shared: _Recording | None = None
    for clip in corpus:
        try:
            if clip.path is None:
                raise AudioError(f"{clip.identifier}: has features only, and Whisper has its own")
            samples = _samples(clip.path, frontend)
        except AudioError as error:
            skipped.append(str(error))
            continue
        own = _Recording((clip.identifier,), clip.language, samples)
        if shared is None:
            shared = own
            continue
        together = len(shared.samples) + len(pause) + len(samples)
        if shared.language == own.language and together <= longest:
            joined = np.concatenate((shared.samples, pause, samples))
            shared = _Recording((*shared.names, *own.names), own.language, joined)
        else:
            yield shared
            shared = own
    if shared is not None:
        yield shared


def _samples(path: Path, frontend: WhisperFrontend) -> FloatArray:
    samples = read_audio(path, frontend.sample_rate)
    try:
        require_speech(samples, frontend.window)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error
    return samples


def _listener(model: WhisperModel, language: str) -> Listener:
    """Greedy and without fallback: a sampled text would not be the model's own."""
    known = language if language in (model.vocabulary.languages or {}) else ""
    decoding = replace(Decoding(language=known), temperatures=TEMPERATURES[:1])
    usual = model.listener
    return Listener(usual.network, usual.vocabulary, usual.frontend, decoding, width=1)


def _feed(model: WhisperModel, features: FloatArray, window: HeardWindow) -> Mapping[str, Output]:
    length = model.listener.frontend.window_frames
    part = features[window.start : window.start + length]
    times = any(token >= model.vocabulary.timestamps for token in window.tokens)
    prompt = model.vocabulary.prompt(window.language, timestamps=times)
    tokens = [*prompt, *window.tokens]
    return {
        "features": np.ascontiguousarray(part.T[None]),
        "tokens": np.array([tokens]),
        # Of the prompt only the last token asks for anything; the last of all asks for the end.
        "positions": np.arange(len(prompt) - 1, len(tokens)),
        **model.network.empty_memory().states,
    }
