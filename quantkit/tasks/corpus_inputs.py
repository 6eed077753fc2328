"""Models of one graph: a clip is ``features`` or ``waveform``, and ``lengths``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.audio.features import Check, iter_features, load_waveform, no_check
from quantkit.audio.utterance import Corpus
from quantkit.errors import AudioError, InputError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.padding import MIN_FRAMES
from quantkit.tasks.inputs import ClipInputs, Feed, Portion


class CorpusInputs(ClipInputs):
    """Each clip alone, through the model's front end."""

    def feeds(self, corpus: Corpus, skipped: list[str]) -> Iterator[Feed]:
        """See :func:`corpus_feeds`."""
        self.steady.clear()
        return corpus_feeds(corpus, self.info, skipped, self.check)

    def portion(self, clip: str, inputs: Mapping[str, Array]) -> Portion:
        """One clip, as long as its longest input."""
        frontend = self.info.frontend
        if frontend is None or not inputs:
            return Portion(1, 0.0)
        length = max(values.shape[1] for values in inputs.values() if values.ndim > 1)
        fused = self.info.fused
        return Portion(1, length / frontend.sample_rate if fused else frontend.seconds_of(length))


def corpus_feeds(
    corpus: Corpus,
    info: ArtifactInfo,
    skipped: list[str] | None = None,
    check: Check = no_check,
) -> Iterator[Feed]:
    """What the model takes for each usable clip of ``corpus``, one clip at a time.

    Args:
        corpus: audio, or ready-made features for models without a fused front end.
        info: metadata of the model, with its front end.
        skipped: a list that receives why a clip was left out.
        check: is shown the waveform of each clip; see :data:`~quantkit.audio.features.Check`.

    Raises:
        ModelError: the model carries no front end.
        CorpusError: at the end, when not a single clip was usable.
    """
    if info.frontend is None:
        raise ModelError(
            "the model carries no front end (metadata `quantkit.frontend`), so audio cannot be "
            "fed to it; make it with `quantkit export`"
        )
    reasons = [] if skipped is None else skipped
    usable = False
    clips = (
        _waveforms(corpus, info.frontend.sample_rate, info.frontend.window, reasons, check)
        if info.fused
        else ((u.identifier, f) for u, f in iter_features(corpus, info.frontend, reasons, check))
    )
    name = "waveform" if info.fused else "features"
    for clip, values in clips:
        if len(values) < MIN_FRAMES:
            reasons.append(f"{clip}: {len(values)} frame is too short for the model")
            continue
        usable = True
        yield clip, {name: values[None], "lengths": np.array([len(values)], np.int64)}
    if not usable:
        raise corpus.none_usable(reasons)


def _waveforms(
    corpus: Corpus, sample_rate: int, window: int, skipped: list[str], check: Check
) -> Iterator[tuple[str, FloatArray]]:
    for utterance in corpus:
        if utterance.path is None and utterance.waveform is None:
            raise InputError(
                f"{utterance.identifier}: has features only, but the model takes waveforms"
            )
        try:
            waveform = load_waveform(utterance, sample_rate)
        except AudioError as error:
            skipped.append(str(error))
            continue
        if waveform.size < window:
            clip = utterance.path or utterance.identifier
            skipped.append(f"{clip}: shorter than one window of the front end")
            continue
        try:
            check(utterance, waveform)
        except AudioError as error:
            skipped.append(f"{utterance.path or utterance.identifier}: {error}")
            continue
        yield utterance.identifier, waveform
