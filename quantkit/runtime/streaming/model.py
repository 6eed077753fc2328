"""What all models have in common that hear in chunks, and the hearing itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray
from quantkit.audio.features import load_features, waveform_blocks
from quantkit.audio.frontends import AnyFrontend, streaming_frontend
from quantkit.audio.resampler import Resampler
from quantkit.audio.running_normalization import RunningNormalization, StreamingFrontend
from quantkit.audio.samples import mono_waveform
from quantkit.audio.utterance import Utterance
from quantkit.audio.waveform import require_speech
from quantkit.errors import AudioError, InputError
from quantkit.runtime.speech_model import Output, SpeechModel
from quantkit.runtime.streaming.chunks import Chunk, Chunks, chunks_of
from quantkit.runtime.streaming.settings import StreamingSettings


class Hearing(Protocol):
    """What the runs of a model on one clip add up to."""

    def accept(self, chunk: Chunk) -> None:
        """Run the model on the next chunk."""
        ...

    @property
    def text(self) -> str:
        """What was said so far."""
        ...

    def finished(self) -> Output:
        """What :meth:`~quantkit.runtime.speech_model.SpeechModel.text_of` takes."""
        ...


class ChunkFeatures:
    """Samples → features of one clip as the chunks of a model hold them, piece by piece."""

    def __init__(self, frontend: AnyFrontend, settings: StreamingSettings) -> None:
        found: StreamingFrontend = streaming_frontend(frontend)
        self._stream = found.stream()
        self._normalization = RunningNormalization(
            found, settings.chunk, settings.shift, settings.expected
        )

    def accept(self, samples: FloatArray) -> FloatArray:
        """(frames, bands) that are known with these samples, maybe none."""
        return self._normalization.accept(self._stream.accept(samples))

    def finish(self) -> FloatArray:
        """The last frames."""
        known = self._normalization.accept(self._stream.finish())
        return np.concatenate((known, self._normalization.finish()))


def silence_of(frontend: AnyFrontend) -> FloatArray:
    """(bands,): the features of silence, as they are where nothing is normalised."""
    found = streaming_frontend(frontend)
    rows = found.stream().accept(np.zeros(4 * frontend.window, np.float32))
    level = np.zeros(rows.shape[1]) if found.expected else rows[-1]
    return np.asarray(level, np.float32)


def features_in_chunks(
    blocks: Iterable[FloatArray], frontend: AnyFrontend, settings: StreamingSettings
) -> FloatArray:
    """(frames, bands) of a clip that comes in blocks of samples, as its chunks hold them.

    Raises:
        AudioError: the clip is shorter than one window, or is not finite.
    """
    stream = ChunkFeatures(frontend, settings)
    samples, parts = 0, []
    for block in blocks:
        require_speech(block, 0)
        samples += block.size
        parts.append(stream.accept(block))
    parts.append(stream.finish())
    features = np.concatenate(parts)
    if not len(features):
        raise AudioError(
            f"a clip of {samples} samples is shorter than one window ({frontend.window})"
        )
    return features


class ChunkedModel(SpeechModel):
    """A model that hears in chunks; beside it stands a class that knows its outputs."""

    @abstractmethod
    def hearing(self) -> Hearing:
        """What hears one clip, from its first chunk on."""

    @property
    @abstractmethod
    def settings(self) -> StreamingSettings:
        """Of its chunks."""

    @property
    def takes_batches(self) -> bool:
        """A stream is one clip."""
        return False

    @property
    def longest_input(self) -> int | None:
        """Clips are never computed at once, whatever their length."""
        return self.settings.chunk

    @property
    def chunk_seconds(self) -> float:
        """Of audio from one run to the next."""
        return self.frontend.seconds_of(self.settings.shift)

    @property
    def look_ahead_seconds(self) -> float:
        """Of audio behind a row that is heard before it is given, beside the rest of its chunk."""
        return self.frontend.seconds_of(self.settings.look_ahead)

    @property
    def hears(self) -> str:
        """Its features also follow from the grid of its chunks."""
        return f"{super().hears} {self.settings.to_json()}"

    def features(self, clip: Utterance | FloatArray) -> FloatArray:
        """As its chunks hold them: normalised by what was heard so far."""
        if not isinstance(clip, Utterance):
            return features_in_chunks([clip], self.frontend, self.settings)
        if not clip.has_audio:
            return load_features(clip, self.frontend)
        blocks = waveform_blocks(clip, self.frontend.sample_rate)
        try:
            return features_in_chunks(blocks, self.frontend, self.settings)
        except AudioError as error:
            raise AudioError(f"{clip.place}: {error}") from error

    def outputs(self, batch: Sequence[FloatArray]) -> list[Output]:
        """Each clip chunk by chunk, one clip after the other."""
        return [self._heard(self.chunks_of(clip)) for clip in batch]

    def long_output(self, blocks: Iterator[FloatArray]) -> Output:
        """As any other clip."""
        return self._heard(self.chunks_of(features_in_chunks(blocks, self.frontend, self.settings)))

    def chunks_of(self, clip: FloatArray) -> Iterator[Chunk]:
        """The chunks of a clip.

        Args:
            clip: (frames, bands), of :meth:`features`.

        Raises:
            InputError: features of another number of bands.
        """
        silence = silence_of(self.frontend)
        if clip.ndim != 2 or clip.shape[1] != silence.size:
            raise InputError(
                f"a clip of shape {clip.shape} does not fit the model, which takes "
                f"(frames, {silence.size}) per clip"
            )
        return chunks_of(clip, self.settings, silence)

    def chunk_steps(self, clip: FloatArray) -> list[Callable[[], object]]:
        """One run for each chunk, with the states of the one before."""
        hearing = self.hearing()
        return [partial(hearing.accept, chunk) for chunk in self.chunks_of(clip)]

    def stream(self, sample_rate: int) -> Stream:
        """See :class:`Stream`."""
        return Stream(self, sample_rate)

    def _heard(self, chunks: Iterator[Chunk]) -> Output:
        hearing = self.hearing()
        for chunk in chunks:
            hearing.accept(chunk)
        return hearing.finished()


class Stream:
    """One clip while it is spoken.

    ::

        stream = model.stream(48_000)
        for samples in microphone:
            print(stream.accept(samples))
        print(stream.finish())

    Args:
        model: is shared by any number of streams.
        sample_rate: of the samples, in hertz.
    """

    def __init__(self, model: ChunkedModel, sample_rate: int) -> None:
        self._model, self.sample_rate = model, sample_rate
        self.reset()

    def reset(self) -> None:
        """Forget all, and begin with another clip."""
        frontend, settings = self._model.frontend, self._model.settings
        self._resampler = Resampler(self.sample_rate, frontend.sample_rate)
        self._features = ChunkFeatures(frontend, settings)
        self._chunks = Chunks(settings, silence_of(frontend))
        self._hearing = self._model.hearing()
        self._final: str | None = None

    @property
    def text(self) -> str:
        """What was said so far."""
        return self._hearing.text if self._final is None else self._final

    def accept(self, samples: npt.ArrayLike) -> str:
        """Hear some more.

        Args:
            samples: (samples,) mono, any number, also none: float in [-1, 1], int16 or int32.

        Returns:
            what was said so far; a later word may change the last one.

        Raises:
            AudioError: samples of another type or shape, or that are not finite.
            InputError: the clip was finished; see :meth:`reset`.
            ModelError: the model fails.
        """
        if self._final is not None:
            raise InputError("the stream is finished: reset() begins another one")
        piece = _piece(samples)
        if piece.size:
            self._run(self._features.accept(self._resampler.accept(piece)))
        return self.text

    def finish(self) -> str:
        """The whole text, once all was said.

        Raises:
            AudioError: the model gives no numbers for what was said.
            ModelError: the model fails.
        """
        if self._final is None:
            self._run(self._features.accept(self._resampler.finish()))
            self._run(self._features.finish())
            for chunk in self._chunks.finish():
                self._hearing.accept(chunk)
            output = self._hearing.finished()
            if len(output) and (problem := self._model.problem_of(output)):
                raise AudioError(f"the model gives {problem} for the stream")
            self._final = self._model.text_of(output)
        return self._final

    def _run(self, features: FloatArray) -> None:
        for chunk in self._chunks.accept(features):
            self._hearing.accept(chunk)


def _piece(samples: npt.ArrayLike) -> FloatArray:
    array: npt.NDArray[Any] = np.asarray(samples)
    if array.ndim != 1:
        raise AudioError(f"a piece of a stream is (samples,) of one channel, not {array.shape}")
    if not array.size:
        return np.empty(0, np.float32)
    return mono_waveform(array, "the stream")
