"""Clips → text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.features import waveform_blocks
from quantkit.audio.utterance import Utterance
from quantkit.audio.windows import LONGEST_SECONDS, whole_or_blocks
from quantkit.errors import AudioError, InputError, ModelError
from quantkit.printable import printable
from quantkit.runtime.speech_model import Segment, SpeechModel
from quantkit.text.captions import Caption, captions_of_words
from quantkit.text.words import Word


@dataclass(frozen=True)
class Transcript:
    """The transcript of one clip.

    Args:
        path: the audio file; None for samples in memory.
        text: the best guess; the keyword, of a classifier.
        seconds: duration of the audio.
        compute_seconds: wall time of front end, model and decoder, without reading the file.
        language: code of what is spoken; empty where the model knows one only.
        segments: segments with times, if timestamps were requested.
        words: words with times and confidence, if these were requested.
    """

    path: Path | None
    text: str
    seconds: float
    compute_seconds: float
    language: str = ""
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()

    @property
    def name(self) -> str:
        """The path, as it can be printed anywhere; empty for samples in memory."""
        return "" if self.path is None else printable(self.path)

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit transcribe --json``."""
        found: dict[str, Any] = {} if self.path is None else {"path": self.name}
        found |= {
            "text": self.text,
            "seconds": round(self.seconds, 3),
            "compute_seconds": round(self.compute_seconds, 4),
        }
        if self.language:
            found["language"] = self.language
        if self.segments:
            found["segments"] = self.rows()
        if self.words:
            found["words"] = [asdict(word) for word in self.words]
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One row per segment, for ``pandas.DataFrame``."""
        return [asdict(segment) for segment in self.segments]

    def captions(self) -> list[Caption]:
        """For subtitles: the segments, or else words that follow one another.

        Where the model gives times of neither, as one that tells keywords apart, the text stands
        there for the whole clip.
        """
        if self.segments:
            return [Caption(each.start, each.end, each.text) for each in self.segments]
        if not self.words and self.text:
            return [Caption(0.0, self.seconds, self.text)]
        between = " " if " ".join(word.text for word in self.words) == self.text else ""
        return captions_of_words(self.words, between)


def transcribe(
    model: SpeechModel,
    clips: Iterable[Utterance | Path],
    failed: Callable[[InputError], None] | None = None,
) -> Iterator[Transcript]:
    """Transcribe clips one by one.

    Args:
        failed: is told why a clip has no text, and the next one follows; None: it is raised.

    Raises:
        AudioError: a clip that cannot be read, is too short, or that the model gives no numbers
            for; the message names it.
        ModelError: the model fails on a clip.
    """
    for each in clips:
        clip = Utterance(each) if isinstance(each, Path) else each
        try:
            transcript = _transcript(model, clip)
        except (AudioError, ModelError) as error:
            if failed is None:
                raise
            failed(error)
        else:
            yield transcript


def _transcript(model: SpeechModel, clip: Utterance) -> Transcript:
    rate = model.frontend.sample_rate
    reader = _Reader(waveform_blocks(clip, rate))
    whole = whole_or_blocks(reader, round(LONGEST_SECONDS * rate))
    reader.seconds = 0.0
    start = time.perf_counter()
    if not isinstance(whole, np.ndarray):
        output = model.long_output(whole)
    else:
        if reader.samples < model.frontend.window:
            # A fused graph cannot raise: it would answer with text for no speech at all.
            raise AudioError(
                f"{clip.place}: {reader.samples} samples are shorter than one "
                f"window of the front end ({model.frontend.window})"
            )
        (output,) = model.outputs([model.features(whole)])
    if problem := model.problem_of(output):
        raise AudioError(f"{clip.place}: the model gives {problem} for it")
    text = model.text_of(output)
    words = model.words_of(output, reader.samples / rate)
    taken = time.perf_counter() - start - reader.seconds
    return Transcript(
        clip.path,
        text,
        reader.samples / rate,
        taken,
        model.language_of(output),
        model.segments_of(output),
        words,
    )


class _Reader(Iterator[FloatArray]):
    """Blocks of a waveform; counts their samples and the seconds that reading them took."""

    def __init__(self, blocks: Iterator[FloatArray]) -> None:
        self._blocks = blocks
        self.samples = 0
        self.seconds = 0.0

    def __next__(self) -> FloatArray:
        start = time.perf_counter()
        block = next(self._blocks)
        self.seconds += time.perf_counter() - start
        self.samples += block.size
        return block
