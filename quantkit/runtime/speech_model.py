"""The interface of all speech models: from clips to outputs and text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from quantkit.arrays import FloatArray
from quantkit.audio.features import load_features, load_waveform
from quantkit.audio.frontends import AnyFrontend, features_of_blocks
from quantkit.audio.utterance import Utterance
from quantkit.errors import InputError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.errors import runtime_errors
from quantkit.text.labels import Labels
from quantkit.text.scoring import TextScoring
from quantkit.text.words import Word

Output = npt.NDArray[Any]


@dataclass(frozen=True)
class Segment:
    """A stretch of speech.

    Args:
        start, end: seconds in the clip.
    """

    start: float
    end: float
    text: str


class SpeechStream(Protocol):
    """One clip while it is spoken; see :class:`quantkit.runtime.streaming.model.Stream`."""

    sample_rate: int

    @property
    def text(self) -> str:
        """What was said so far."""
        ...

    def accept(self, samples: npt.ArrayLike) -> str:
        """Hear (samples,) more; the text so far."""
        ...

    def finish(self) -> str:
        """The whole text."""
        ...

    def reset(self) -> None:
        """Begin with another clip."""
        ...


class SpeechModel(ABC):
    """An artifact that is ready to run; :func:`~quantkit.tasks.open.open_speech_model` makes one.

    ::

        model = open_speech_model(Path("model.onnx"))
        clip = model.features(read_audio(Path("clip.wav"), model.frontend.sample_rate))
        (output,) = model.outputs([clip])
        print(model.text_of(output))

    Args:
        info: what the artifact says about itself.
    """

    def __init__(self, info: ArtifactInfo) -> None:
        self.info = info

    @property
    @abstractmethod
    def scoring(self) -> TextScoring:
        """How its texts are compared.

        Raises:
            ModelError: the artifact does not say what its outputs mean.
        """

    @property
    def decoder_in_words(self) -> str:
        """How outputs become text, as far as one may choose."""
        return "none"

    @property
    def cutting_in_words(self) -> str:
        """How :meth:`loss` cuts a transcript into pieces of words; empty where it cuts none."""
        return ""

    @property
    def gives_posteriors(self) -> bool:
        """Whether :meth:`outputs` are probabilities of labels, which two models can differ in."""
        return False

    @property
    def takes_batches(self) -> bool:
        """Whether clips of one batch are computed together."""
        return True

    @abstractmethod
    def outputs(self, batch: Sequence[FloatArray]) -> list[Output]:
        """Run the network on some clips.

        Args:
            batch: what :meth:`features` returned for each clip.

        Returns:
            for each clip what :meth:`text_of` takes.

        Raises:
            InputError: clips of the wrong shape.
            ModelError: ONNX Runtime fails on the batch.
        """

    def long_output(self, blocks: Iterator[FloatArray]) -> Output:
        """The output of one clip whose waveform need not be in memory.

        Args:
            blocks: (samples,) each at the front end's sample rate, together one clip.

        Raises:
            AudioError, ModelError: see :meth:`features` and :meth:`outputs`.
        """
        if self.info.fused:
            clip = np.concatenate([*blocks])
        else:
            clip = features_of_blocks(self.frontend, blocks)
        (output,) = self.outputs([clip])
        return output

    @abstractmethod
    def text_of(self, output: Output) -> str:
        """The text of one clip's output."""

    def language_of(self, output: Output) -> str:
        """Code of the detected language; empty for a model of one language."""
        return ""

    def segments_of(self, output: Output) -> tuple[Segment, ...]:
        """The segments with times; empty if the model has none."""
        return ()

    def words_of(self, output: Output, seconds: float) -> tuple[Word, ...]:
        """The words with times and confidence; empty if the model has none, or nobody asked for
        them (:attr:`~quantkit.text.decoding.Decoding.words`).

        Args:
            seconds: duration of the clip.
        """
        return ()

    def problem_of(self, output: Output) -> str:
        """What is wrong with the output of one clip, in words; empty when nothing is."""
        return ""

    def loss(self, output: Output, reference: str) -> float | None:
        """Natural logarithm of how unlikely ``reference`` is, negated; None where that is unknown.

        Args:
            reference: a normalised transcript; see :attr:`scoring`.
        """
        return None

    @property
    def labels(self) -> Labels:
        """The output alphabet of a model that writes labels.

        Raises:
            ModelError: the artifact carries none.
        """
        if self.info.labels is None:
            raise ModelError(
                "the model carries no labels (metadata `quantkit.labels`); "
                "make it with `quantkit export`"
            )
        return self.info.labels

    @property
    def frontend(self) -> AnyFrontend:
        """Settings of the front end.

        Raises:
            ModelError: the artifact carries none.
        """
        if self.info.frontend is None:
            raise ModelError(
                "the model carries no front end (metadata `quantkit.frontend`); "
                "make it with `quantkit export`"
            )
        return self.info.frontend

    @property
    def hears(self) -> str:
        """What :meth:`features` depends on: models that say the same can share them."""
        return f"{self.frontend.to_json()} {self.info.fused}"

    @property
    def chunk_seconds(self) -> float:
        """Of audio from one run to the next; 0 for models that hear whole clips."""
        return 0.0

    @property
    def look_ahead_seconds(self) -> float:
        """Of audio behind a row that is heard before it is given, beside the rest of its chunk."""
        return 0.0

    def chunk_steps(self, clip: FloatArray) -> list[Callable[[], object]]:
        """The runs on one clip, to be called in order, each once; none for whole clips.

        Args:
            clip: what :meth:`features` returned.
        """
        return []

    def stream(self, sample_rate: int) -> SpeechStream:
        """What hears one clip while it is spoken.

        Args:
            sample_rate: of the samples, in hertz.

        Raises:
            InputError: the model hears whole clips.
        """
        raise InputError(
            "the model hears whole clips, so it has no text before the end of one: a convolutional "
            "CTC model streams after `quantkit export MODEL --streaming`"
        )

    @property
    def steps_per_second(self) -> float:
        """Of the model's input: samples, or frames of features; 0 without a front end."""
        frontend = self.info.frontend
        if frontend is None:
            return 0.0
        return frontend.sample_rate if self.info.fused else 1.0 / frontend.seconds_of(1)

    @property
    def longest_input(self) -> int | None:
        """Steps of the longest input that is computed at once; None: all clips are."""
        return None

    def features(self, clip: Utterance | FloatArray) -> FloatArray:
        """What this model takes as input for one clip.

        Args:
            clip: an utterance, or a (samples,) waveform at the front end's sample rate.

        Returns:
            (frames, bands), or (samples,) when the front end is fused into the model.

        Raises:
            AudioError: the clip cannot be read or is too short.
            InputError: ready-made features for a model that takes waveforms.
        """
        if not isinstance(clip, Utterance):
            return clip if self.info.fused else self.frontend(clip)
        if not self.info.fused:
            return load_features(clip, self.frontend)
        if not clip.has_audio:
            raise InputError(f"{clip.identifier}: has features only, but the model takes waveforms")
        return load_waveform(clip, self.frontend.sample_rate)

    def seconds_of(self, clip: FloatArray) -> float:
        """Duration of what :meth:`features` returned."""
        if self.info.fused:
            return len(clip) / self.frontend.sample_rate
        return self.frontend.seconds_of(len(clip))


def run_session(
    session: onnxruntime.InferenceSession, names: Sequence[str], feed: dict[str, Output]
) -> list[Output]:
    """Run ``session``, and say what it failed on.

    Raises:
        ModelError: ONNX Runtime fails.
    """
    shapes = ", ".join(f"{name} {values.shape}" for name, values in feed.items())
    with runtime_errors(f"the model fails on {shapes}"):
        found: list[Output] = session.run(list(names), feed)
    return found


def require_rows(values: Output, clips: int, rank: int, name: str) -> None:
    """Refuse an output that is not an array with a row for each clip.

    Args:
        rank: axes that it must have.
        name: of the output.

    Raises:
        ModelError: what it is instead.
    """
    shape = np.shape(values) if isinstance(values, np.ndarray) else type(values).__name__
    if not isinstance(values, np.ndarray) or values.ndim != rank or len(values) != clips:
        raise ModelError(
            f"the model's output {name} must have {rank} axes, the first of {clips} for as many "
            f"clips, and is {shape}"
        )
