"""Held-out clips that many quantized models are scored on, against the float one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray
from quantkit.audio.features import iter_features
from quantkit.audio.utterance import Corpus
from quantkit.disk.files import sha256_of
from quantkit.errors import CorpusError
from quantkit.report.formatting import Interval
from quantkit.runtime.speech_model import Output, SpeechModel
from quantkit.sensitivity.posteriors import divergence
from quantkit.tasks.open import open_speech_model
from quantkit.text.decoding import Decoding
from quantkit.text.distances import (
    ErrorCounts,
    bootstrap_interval,
    error_counts,
    levenshtein,
    ratio_interval,
)


@dataclass(frozen=True)
class Score:
    """One model on all clips.

    Args:
        edits: Levenshtein distance of each clip.
        divergence: of the posteriors from the float model's, in nats per frame.
    """

    edits: tuple[int, ...]
    divergence: float


@dataclass(frozen=True)
class Change:
    """How the mean edit distance differs from another model's, relative to that one's.

    Args:
        mean: of the paired differences, over the other model's mean.
        interval: its 95 % bootstrap interval over utterances.
    """

    mean: float
    interval: Interval


class HeldOut:
    """Labelled clips with their features, and what the float model makes of them.

    Features and posteriors are computed once and kept: a model is scored in the time that it takes
    to run. An hour of speech takes some 80 MB.

    Args:
        source: the float model.
        corpus: with transcripts.
        decoder: see :func:`~quantkit.text.decoders.decoder_named`.

    Raises:
        CorpusError: no clip has both usable audio and a transcript.
    """

    def __init__(self, source: Path, corpus: Corpus, decoder: str = "greedy") -> None:
        model = open_speech_model(source, decoding=Decoding(decoder))
        self._decoder = decoder
        self._features: list[FloatArray] = []
        self._references: list[list[str]] = []
        for utterance, features in iter_features(corpus, model.frontend):
            if utterance.text is not None:
                self._features.append(features)
                text = model.scoring.normalized(utterance.text, utterance.language)
                self._references.append(model.scoring.units(text))
        if not self._features:
            raise CorpusError(f"{corpus.name}: none of {len(corpus)} clips has a transcript")
        self._posteriors = self._recognised(model)
        #: The float model's own score.
        self.float_score = Score(self._edits(model, self._posteriors), 0.0)

    def __len__(self) -> int:
        return len(self._features)

    def score(self, path: Path) -> Score:
        """The model in ``path`` on all clips, one by one."""
        model = open_speech_model(path, decoding=Decoding(self._decoder))
        outputs = self._recognised(model)
        moved = sum(
            divergence(before, after, np.ones(len(before), np.float32))
            for before, after in zip(self._posteriors, outputs, strict=True)
        )
        return Score(self._edits(model, outputs), moved / sum(map(len, outputs)))

    def _recognised(self, model: SpeechModel) -> list[Output]:
        # A classifier's output is one frame.
        return [np.atleast_2d(model.outputs([features])[0]) for features in self._features]

    def _edits(self, model: SpeechModel, outputs: Sequence[Output]) -> tuple[int, ...]:
        return tuple(
            levenshtein(reference, model.scoring.units(model.text_of(log_probs)))
            for reference, log_probs in zip(self._references, outputs, strict=True)
        )


def change(edits: Sequence[int], before: Sequence[int], seed: int = 0) -> Change:
    """The change from ``before``, paired by utterance; far steadier than the two means.

    >>> change([11, 22], [10, 20]).mean
    0.1
    """
    differences = np.subtract(edits, before).astype(float)
    mean = max(float(np.mean(before)), 1e-9)
    low, high = bootstrap_interval(differences, seed=seed)
    return Change(float(differences.mean()) / mean, (low / mean, high / mean))


def mean_interval(edits: Sequence[int], seed: int = 0) -> Interval:
    """95 % bootstrap interval of the mean edit distance over utterances."""
    return bootstrap_interval(np.array(edits, float), seed=seed)


def word_error_rate(meant: Sequence[str], texts: Sequence[str]) -> str:
    """Of texts against what was meant, in percent, with its 95 % interval over clips.

    >>> word_error_rate(["one two", "three"], ["one two", "three"])
    '0.0 % [0.0, 0.0]'
    """
    return rate_of(
        [error_counts(one.split(), other.split()) for one, other in zip(meant, texts, strict=True)]
    )


def rate_of(counts: Sequence[ErrorCounts]) -> str:
    """Errors per unit of the references in percent, with its 95 % interval over clips."""
    return rate_cell(
        np.array([each.errors for each in counts], np.float64),
        np.array([each.reference_length for each in counts], np.float64),
    )


def rate_cell(errors: npt.NDArray[np.float64], units: npt.NDArray[np.float64]) -> str:
    """The same of errors and units of each clip, (clips,) both."""
    low, high = ratio_interval(errors, units)
    return f"{100 * errors.sum() / units.sum():.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def corpus_digest(corpus: Corpus) -> str:
    """SHA-256 over the audio and the transcripts of clips, and their order."""
    digest = hashlib.sha256()
    for utterance in corpus:
        if utterance.path is not None:
            digest.update(sha256_of(utterance.path).encode())
        if utterance.features is not None:
            digest.update(np.ascontiguousarray(utterance.features).data)
        digest.update(f"{utterance.text!r}\n".encode())
    return digest.hexdigest()
