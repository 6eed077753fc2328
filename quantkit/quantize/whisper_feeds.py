"""What a Whisper takes for clips without transcripts: their spectrograms, and its own text.

The decoder is observed on the text that the float model writes, given at once. That is the text
that the quantized model shall write, too, and needs nobody to write it down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from quantkit.audio.features import iter_features
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.quantize.clip_runner import Feed
from quantkit.runtime.speech_model import FloatArray, Output
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.runtime.whisper.windows import HeardWindow, Listener
from quantkit.text.decoding import TEMPERATURES, Decoding

#: Windows by the name of the clip: what was heard once need not be heard again.
Heard = MutableMapping[str, tuple[HeardWindow, ...]]


def whisper_feeds(
    corpus: Corpus,
    path: Path,
    skipped: list[str],
    heard: Heard,
    seconds: MutableMapping[str, float],
) -> Iterator[Feed]:
    """One feed for each window of each usable clip, with its name.

    Args:
        path: the float model.
        skipped: receives why a clip was left out.
        heard: of clips that were heard before; those of others are added.
        seconds: receives the duration of what is spoken, by the name of the feed.

    Raises:
        ModelError: ``path`` is no Whisper.
        CorpusError: at the end, when not a single clip was usable.
    """
    model = WhisperModel.load(path, threads=0, check=False)
    for clip, features in iter_features(corpus, model.frontend, skipped):
        if clip.identifier not in heard:
            heard[clip.identifier] = tuple(_listener(model, clip).windows(features))
        for window in heard[clip.identifier]:
            name = f"{clip.identifier} at {window.start}" if window.start else clip.identifier
            left = len(features) - window.start - model.listener.frontend.window_frames
            spoken = min(left, model.listener.frontend.window_frames)
            seconds[name] = model.listener.frontend.seconds_of(spoken)
            yield name, _feed(model, features, window)


def _listener(model: WhisperModel, clip: Utterance) -> Listener:
    """Greedy and without fallback: a sampled text would not be the model's own."""
    known = clip.language if clip.language in (model.vocabulary.languages or {}) else ""
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
