"""A model that is ready to transcribe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from quantkit.api.inputs import (
    Audio,
    Clip,
    PathLike,
    corpus_of,
    float_model,
    optional_path,
    utterances_of,
)
from quantkit.audio.samples import require_rate
from quantkit.audio.utterance import Corpus
from quantkit.errors import InputError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.speech_model import SpeechModel, SpeechStream
from quantkit.runtime.transcriber import Partial, Transcript, live, transcribe
from quantkit.runtime.voice_activity import VoiceActivity
from quantkit.tasks.open import open_speech_model, require_followed
from quantkit.text.decoding import Decoding


class Model:
    """An artifact that is ready to transcribe; :func:`load` opens one.

    Args:
        speech_model: what computes.
        voice: finds the stretches of speech that are heard; None: clips are heard as a whole.
    """

    def __init__(self, speech_model: SpeechModel, voice: VoiceActivity | None = None) -> None:
        self._model, self._voice = speech_model, voice

    @property
    def info(self) -> ArtifactInfo:
        """What the artifact says about itself: plan, licence, versions, front end."""
        return self._model.info

    @property
    def name(self) -> str:
        """The model's name for people; empty where it has none."""
        return self.info.name

    @property
    def task(self) -> str:
        """What it does; one of :mod:`quantkit.tasks`."""
        return self.info.task

    @property
    def sample_rate(self) -> int:
        """Of the audio that it takes, in hertz; clips of any other are resampled.

        Raises:
            ModelError: the artifact carries no front end.
        """
        return self._model.frontend.sample_rate

    @property
    def labels(self) -> tuple[str, ...]:
        """What its outputs stand for, in their order: letters, phonemes or classes.

        Empty for a model that writes tokens of a vocabulary.
        """
        if self.info.labels is not None:
            return self.info.labels.tokens
        return self.info.classes

    # A text is a sequence of texts, too; it is taken for a path.
    @overload
    def transcribe(  # type: ignore[overload-overlap]
        self, audio: PathLike | npt.NDArray[Any], sample_rate: float | None = None
    ) -> Transcript: ...

    @overload
    def transcribe(
        self, audio: Corpus | Sequence[Clip], sample_rate: float | None = None
    ) -> list[Transcript]: ...

    def transcribe(
        self, audio: Audio, sample_rate: float | None = None
    ) -> Transcript | list[Transcript]:
        """The text of a clip, or of each clip of a list.

        >>> import quantkit
        >>> model = quantkit.load("int8.onnx")  # doctest: +SKIP
        >>> model.transcribe("clip.wav").text  # doctest: +SKIP
        'nobody in our village had ever owned a piano'
        >>> one, two = model.transcribe([samples, "two.mp3"], 48_000)  # doctest: +SKIP

        Args:
            audio: a file (WAV, FLAC, Ogg, MP3 and more, of any rate); an array (samples,), or of up
                to 8 channels, which are averaged; or a list of them, or a
                :class:`~quantkit.audio.utterance.Corpus`. Floats are in [-1, 1], integers are int16
                or int32; see :func:`~quantkit.audio.samples.mono_waveform`.
            sample_rate: of the arrays, in hertz; a file says its own.

        Returns:
            for one clip its text, with segments if timestamps were requested, words if these
            were, and the language where it knows several; for a list or a corpus a list in the
            same order.

        Raises:
            AudioError: a clip that cannot be read, or is too short or too long; an array of another
                type or shape, or with samples that are not finite.
            InputError: an array without a sample rate.
            ModelError: the model fails on a clip, or is no recogniser.
        """
        if isinstance(audio, str | os.PathLike | np.ndarray):
            (transcript,) = self.transcribe_each([audio], sample_rate)
            return transcript
        return list(self.transcribe_each(audio, sample_rate))

    def transcribe_each(
        self,
        audio: Corpus | Sequence[Clip],
        sample_rate: float | None = None,
        *,
        failed: Callable[[InputError], None] | None = None,
    ) -> Iterator[Transcript]:
        """As :meth:`transcribe`, but each text as soon as it is there.

        Args:
            failed: is told why a clip has no text, and the next one follows; None: it is raised.

        Raises:
            QuantkitError: see :meth:`transcribe`.
        """
        if not isinstance(audio, Corpus | Sequence) or isinstance(audio, str):
            raise InputError(
                f"clips are a file, an array, a list of them or a Corpus, not "
                f"{type(audio).__name__}"
            )
        if isinstance(audio, Corpus):
            yield from transcribe(self._model, corpus_of(audio, sample_rate), failed, self._voice)
        else:
            yield from transcribe(
                self._model, utterances_of(audio, sample_rate), failed, self._voice
            )

    def stream(self, sample_rate: float | None = None) -> SpeechStream:
        """What hears one clip while it is spoken; any number of them can share the model.

        Args:
            sample_rate: of the samples that it will be given, in hertz; None: the model's own.

        Raises:
            InputError: the model hears whole clips, or a rate that no recording has.
        """
        return self._model.stream(
            self.sample_rate if sample_rate is None else require_rate(sample_rate)
        )

    def transcribe_live(self, audio: Clip, sample_rate: float | None = None) -> Iterator[Partial]:
        """The text of a clip as it grows, as if the clip were spoken now.

        Args:
            audio, sample_rate: one clip, as of :meth:`transcribe`.

        Yields:
            each text that differs from the one before, and the final one.

        Raises:
            QuantkitError: see :meth:`transcribe` and :meth:`stream`.
        """
        (clip,) = utterances_of([audio], sample_rate)
        yield from live(self._model, clip)


def load(
    model: PathLike,
    *,
    threads: int = 1,
    decoding: Decoding | None = None,
    vad: bool = False,
) -> Model:
    """Open a model, ready to transcribe.

    >>> import quantkit
    >>> model = quantkit.load("int8.onnx")  # doctest: +SKIP
    >>> model.sample_rate  # doctest: +SKIP
    16000

    Args:
        model: an artifact, float32 or quantized, or what :func:`quantkit.export` takes.
        threads: inside one operator; 0 takes all cores.
        decoding: how outputs become text; None: greedily, and Whisper finds out the language.
        vad: whether recordings are cut at pauses, and only speech is heard (extra ``vad``).

    Raises:
        ModelError: the file is damaged, does not load, or is no artifact of a known task.
        MissingDependencyError: the voice activity detector is not installed.
        InputError: a decoder, a language or a number of threads that the model cannot have, or
            settings that it has no use for, such as a language of a CTC model.
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 0:
        raise InputError(f"threads is a whole number, 0 for all cores, not {threads!r}")
    if not isinstance(decoding, Decoding | None):
        raise InputError(f"decoding is a quantkit.Decoding, not {type(decoding).__name__}")
    decoding = decoding or Decoding()
    # Whoever wrote a text here meant the file.
    words = optional_path(decoding.language_model, "the language model")
    with float_model(model) as path:
        decoding = replace(decoding, language_model=words)
        require_followed(path, decoding)
        voice = VoiceActivity.load() if vad else None
        return Model(open_speech_model(path, threads, decoding=decoding), voice)
