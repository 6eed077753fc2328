"""Audio files → text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quantkit.audio.decode import read_audio
from quantkit.errors import AudioError
from quantkit.runtime.speech_model import Segment, SpeechModel


@dataclass(frozen=True)
class Transcript:
    """What was heard in one file.

    Args:
        path: the audio file.
        text: the best guess; the keyword, of a classifier.
        seconds: duration of the audio.
        compute_seconds: wall time of front end, model and decoder, without reading the file.
        language: code of what is spoken; empty where the model knows one only.
        segments: what was said when, of a model that was asked for times.
    """

    path: Path
    text: str
    seconds: float
    compute_seconds: float
    language: str = ""
    segments: tuple[Segment, ...] = ()


def transcribe(model: SpeechModel, paths: Iterable[Path]) -> Iterator[Transcript]:
    """Transcribe files one by one.

    Raises:
        AudioError: a file that cannot be read or is too short; the message names it.
        ModelError: the model fails on a clip.
    """
    rate = model.frontend.sample_rate
    for path in paths:
        waveform = read_audio(path, rate)
        start = time.perf_counter()
        if waveform.size < model.frontend.window:
            # A fused graph cannot raise: it would answer with text for no speech at all.
            raise AudioError(
                f"{path}: {waveform.size} samples are shorter than one window of the front end "
                f"({model.frontend.window})"
            )
        (output,) = model.outputs([model.features(waveform)])
        text = model.text_of(output)
        taken = time.perf_counter() - start
        yield Transcript(
            path,
            text,
            waveform.size / rate,
            taken,
            model.language_of(output),
            model.segments_of(output),
        )
