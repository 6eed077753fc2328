"""Models of one graph: a clip is ``features`` or ``waveform``, and ``lengths``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.audio.features import feature_windows, waveform_windows
from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import AudioError, InputError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.clip_parts import clip_parts
from quantkit.runtime.padding import MIN_FRAMES
from quantkit.tasks.inputs import ClipInputs, Feed, Portion


class CorpusInputs(ClipInputs):
    """Each clip alone, through the model's front end; a long one in pieces."""

    def __init__(self, info: ArtifactInfo, model: Path | None = None) -> None:
        super().__init__(info, model)
        self._later_pieces: set[str] = set()

    def feeds(self, corpus: Corpus, skipped: list[str]) -> Iterator[Feed]:
        """See :func:`corpus_feeds`; a clip that is cut gives a feed for each of its parts."""
        for clip, inputs in corpus_feeds(corpus, self.info, skipped, self._later_pieces):
            name = "waveform" if self.info.fused else "features"
            start = 0
            for part in clip_parts(inputs[name][0], self.info):
                feed: dict[str, Array] = {name: part[None], "lengths": np.array([len(part)])}
                if start:
                    self._later_pieces.add(f"{clip} at {start}")
                yield (f"{clip} at {start}" if start else clip), feed
                start += len(part)

    def portion(self, clip: str, inputs: Mapping[str, Array]) -> Portion:
        """One clip or a piece of one, as long as its longest input."""
        frontend = self.info.frontend
        recordings = 0 if clip in self._later_pieces else 1
        if frontend is None or not inputs:
            return Portion(recordings, 0.0)
        length = max(values.shape[1] for values in inputs.values() if values.ndim > 1)
        fused = self.info.fused
        seconds = length / frontend.sample_rate if fused else frontend.seconds_of(length)
        return Portion(recordings, seconds)


def corpus_feeds(
    corpus: Corpus,
    info: ArtifactInfo,
    skipped: list[str] | None = None,
    later_pieces: set[str] | None = None,
) -> Iterator[Feed]:
    """What the model takes for each usable clip of ``corpus``, one clip at a time.

    A clip of more than :data:`~quantkit.audio.windows.LONGEST_SECONDS` comes in pieces.

    Args:
        corpus: audio, or ready-made features for models without a fused front end.
        info: metadata of the model, with its front end.
        skipped: a list that receives why a clip was left out.
        later_pieces: receives the names of all pieces of clips but their first.

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
    name = "waveform" if info.fused else "features"
    usable = False
    for utterance in corpus:
        windows = _windows(utterance, info.frontend, info.fused)
        try:
            for clip, values in windows:
                if len(values) < MIN_FRAMES:
                    raise AudioError(f"{clip}: {len(values)} frame is too short for the model")
                usable = True
                if later_pieces is not None and clip != utterance.identifier:
                    later_pieces.add(clip)
                yield clip, {name: values[None], "lengths": np.array([len(values)], np.int64)}
        except AudioError as error:
            reasons.append(str(error))
    if not usable:
        raise corpus.none_usable(reasons)


def _windows(
    utterance: Utterance, frontend: AnyFrontend, fused: bool
) -> Iterator[tuple[str, FloatArray]]:
    if not fused:
        yield from feature_windows(utterance, frontend)
        return
    if not utterance.has_audio:
        raise InputError(
            f"{utterance.identifier}: has features only, but the model takes waveforms"
        )
    for name, samples in waveform_windows(utterance, frontend.sample_rate):
        if samples.size < frontend.window:
            raise AudioError(f"{utterance.place}: shorter than one window of the front end")
        yield name, samples
