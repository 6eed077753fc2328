"""Clips → text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.features import waveform_blocks
from quantkit.audio.utterance import Utterance
from quantkit.audio.windows import LONGEST_SECONDS, parts_of, pieces, whole_or_blocks
from quantkit.errors import AudioError, InputError, ModelError
from quantkit.printable import printable
from quantkit.runtime.speech_model import Output, Segment, SpeechModel
from quantkit.runtime.voice_activity import SAMPLE_RATE, VoiceActivity
from quantkit.text.captions import Caption, captions_of_words
from quantkit.text.words import Word

# Of a file that is heard as if it were spoken.
_PIECE_SECONDS = 0.1


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
    voice: VoiceActivity | None = None,
) -> Iterator[Transcript]:
    """Transcribe clips one by one.

    Args:
        voice: finds where somebody speaks; each stretch is heard as a clip of its own, and what
            lies between them is not heard at all. None: each clip is heard as a whole.
        failed: is told why a clip has no text, and the next one follows; None: it is raised.

    Raises:
        AudioError: a clip that cannot be read, is too short, or that the model gives no numbers
            for; the message names it.
        ModelError: the model fails on a clip.
    """
    for each in clips:
        clip = Utterance(each) if isinstance(each, Path) else each
        try:
            transcript = (
                _transcript(model, clip) if voice is None else _by_stretch(model, clip, voice)
            )
        except (AudioError, ModelError) as error:
            if failed is None:
                raise
            failed(error)
        else:
            yield transcript


@dataclass(frozen=True)
class Partial:
    """What a model says of a clip that is still going on.

    Args:
        path: the audio file; None for samples in memory.
        text: so far.
        seconds: of audio that were heard.
        final: whether the clip has ended.
    """

    path: Path | None
    text: str
    seconds: float
    final: bool

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit transcribe --stream --json``."""
        found: dict[str, Any] = {} if self.path is None else {"path": printable(self.path)}
        return found | {
            "text": self.text,
            "seconds": round(self.seconds, 3),
            "final": self.final,
        }


def live(model: SpeechModel, clip: Utterance) -> Iterator[Partial]:
    """The text of a clip as it grows.

    Yields:
        each text that differs from the one before, and the final one.

    Raises:
        InputError: the model hears whole clips.
        AudioError: the clip cannot be read.
        ModelError: the model fails on it.
    """
    rate = model.frontend.sample_rate
    stream = model.stream(rate)
    size = round(_PIECE_SECONDS * rate)
    samples, text = 0, ""
    for piece in pieces(waveform_blocks(clip, rate), size, size):
        samples += len(piece)
        if (said := stream.accept(piece)) != text:
            text = said
            yield Partial(clip.path, text, samples / rate, final=False)
    if samples < model.frontend.window:
        raise AudioError(
            f"{clip.place}: {samples} samples are shorter than one window of the front end "
            f"({model.frontend.window})"
        )
    yield Partial(clip.path, stream.finish(), samples / rate, final=True)


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
    found = _told(model, clip, output, reader.samples / rate)
    taken = time.perf_counter() - start - reader.seconds
    return replace(found, compute_seconds=taken)


def _by_stretch(model: SpeechModel, clip: Utterance, voice: VoiceActivity) -> Transcript:
    """Each stretch of speech as a clip of its own, one after the other."""
    rate = model.frontend.sample_rate
    reader = _Reader(waveform_blocks(clip, SAMPLE_RATE))
    start = time.perf_counter()
    stretches = voice.stretches(reader)
    seconds, reading = reader.samples / SAMPLE_RATE, reader.seconds
    reader = _Reader(waveform_blocks(clip, rate))
    places = [(round(each.start * rate), round(each.end * rate)) for each in stretches]
    parts: list[tuple[float, Transcript]] = []
    for stretch, samples in zip(stretches, parts_of(reader, places), strict=True):
        if len(samples) >= model.frontend.window:
            (output,) = model.outputs([model.features(samples)])
            parts.append((stretch.start, _told(model, clip, output, len(samples) / rate)))
    taken = time.perf_counter() - start - reading - reader.seconds
    return Transcript(
        clip.path,
        " ".join(part.text for _, part in parts if part.text),
        seconds,
        taken,
        next((part.language for _, part in parts if part.language), ""),
        tuple(
            Segment(round(offset + each.start, 3), round(offset + each.end, 3), each.text)
            for offset, part in parts
            for each in part.captions()
        ),
        tuple(
            replace(word, start=round(offset + word.start, 3), end=round(offset + word.end, 3))
            for offset, part in parts
            for word in part.words
        ),
    )


def _told(model: SpeechModel, clip: Utterance, output: Output, seconds: float) -> Transcript:
    """What the model says; how long that took is not in it.

    Raises:
        AudioError: the model gives no numbers for the clip.
    """
    if problem := model.problem_of(output):
        raise AudioError(f"{clip.place}: the model gives {problem} for it")
    return Transcript(
        clip.path,
        model.text_of(output),
        seconds,
        0.0,
        model.language_of(output),
        model.segments_of(output),
        model.words_of(output, seconds),
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
