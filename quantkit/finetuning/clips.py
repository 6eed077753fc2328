"""Clips as a model's inputs, on disk while they are trained on, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quantkit.arrays import Array
from quantkit.audio.utterance import Corpus
from quantkit.calibration.clip_store import ClipStore
from quantkit.errors import CorpusError, InputError
from quantkit.graph.info import ArtifactInfo
from quantkit.tasks.catalogue import task_of
from quantkit.text.labels import Labels
from quantkit.training.augment import mask_features
from quantkit.training.recipe import AugmentSettings

_MEMORY = 64_000_000
_LENGTHS = "lengths"
_FEATURES = "features"
_HELD_OUT_SHARE = 0.05
_MOST_HELD_OUT = 48
_MASKS = AugmentSettings(time_masks=2, time_width=20, frequency_masks=1, frequency_width=6)


@dataclass(frozen=True)
class ClipBatch:
    """Some clips as inputs of the model.

    Args:
        inputs: by name, padded with zeros where clips differ in length.
        targets: labels of each clip's transcript; None for a clip without one.
    """

    inputs: dict[str, Tensor]
    targets: tuple[list[int] | None, ...]


class TrainingClips:
    """What a model takes for each clip of a corpus, made once; close it after use.

    A twentieth of the clips, at most 48, is held out.

    Args:
        corpus: audio.
        info: metadata of the model.
        model: its file.
        folder: for what does not fit into memory.
        transcripts: whether the transcripts of the clips are targets.

    Raises:
        CorpusError: no usable clip; or transcripts are wanted, and no clip has one.
        InputError: transcripts are wanted, and the model writes no labels.
        ModelError: the model does not say what it takes.
    """

    def __init__(
        self,
        corpus: Corpus,
        info: ArtifactInfo,
        model: Path,
        folder: Path,
        *,
        transcripts: bool = False,
    ) -> None:
        texts = _texts(corpus, info) if transcripts else {}
        self.skipped: list[str] = []
        self._store = ClipStore(folder, _MEMORY)
        self.seconds: list[float] = []
        self._targets: list[list[int] | None] = []
        inputs = task_of(info).inputs(info, model)
        for clip, feed in inputs.feeds(corpus, self.skipped):
            self._store.append(feed)
            self.seconds.append(inputs.portion(clip, feed).seconds)
            self._targets.append(texts.get(clip))
        if len(self.seconds) < 2:
            raise CorpusError(f"{corpus.name}: one clip alone cannot be trained on and held out")
        count = min(_MOST_HELD_OUT, max(1, round(_HELD_OUT_SHARE * len(self.seconds))))
        every = np.linspace(0, len(self.seconds) - 1, count).round().astype(int)
        self.held_out = tuple(dict.fromkeys(every.tolist()))
        self.trained = tuple(i for i in range(len(self.seconds)) if i not in set(self.held_out))

    def close(self) -> None:
        """Give back the disk."""
        self._store.close()

    @property
    def can_be_batched(self) -> bool:
        """Whether the model takes audio, and how long each clip of a batch is, and nothing else.

        The points on the path of a transducer, and states, are of one clip.
        """
        given = self._store[0]
        return _LENGTHS in given and len(given) == 2

    def batch(self, clips: Sequence[int], rng: np.random.Generator | None = None) -> ClipBatch:
        """Some clips together.

        Args:
            clips: their numbers; one alone unless :attr:`can_be_batched`.
            rng: of masks on features; None: no masks.
        """
        feeds = [dict(self._store[i]) for i in clips]
        if rng is not None and _FEATURES in feeds[0]:
            for feed in feeds:
                feed[_FEATURES] = mask_features(feed[_FEATURES][0], _MASKS, rng)[None]
        inputs = {name: _together([feed[name] for feed in feeds]) for name in feeds[0]}
        return ClipBatch(inputs, tuple(self._targets[i] for i in clips))

    def held_out_batches(self, batch_seconds: float) -> Iterator[ClipBatch]:
        """The held-out clips, those of similar length together."""
        ordered = sorted(self.held_out, key=lambda i: self.seconds[i])
        pending: list[int] = []
        for clip in ordered:
            full = self.seconds[clip] * (len(pending) + 1) > batch_seconds
            if pending and (full or not self.can_be_batched):
                yield self.batch(pending)
                pending = []
            pending.append(clip)
        yield self.batch(pending)


def _texts(corpus: Corpus, info: ArtifactInfo) -> Mapping[str, list[int]]:
    """Targets by name of the clip."""
    labels = info.labels
    if not isinstance(labels, Labels):
        raise InputError("transcripts are for CTC models with labels; train without them")
    targets: dict[str, list[int]] = {}
    for utterance in corpus:
        text = utterance.text
        if text and not labels.covers(text):
            text = text.lower()
        if text and labels.covers(text):
            targets[utterance.identifier] = labels.encode(text)
    if not targets:
        raise CorpusError(
            f"{corpus.name}: no clip has a transcript in the model's labels; train without them"
        )
    return targets


def _together(values: Sequence[Array]) -> Tensor:
    """Batches of one as one batch, padded with zeros along the second dimension."""
    if values[0].ndim < 2:
        return torch.from_numpy(np.concatenate(values))
    longest = max(each.shape[1] for each in values)
    rest = [(0, 0)] * (values[0].ndim - 2)
    padded = [np.pad(each, [(0, 0), (0, longest - each.shape[1]), *rest]) for each in values]
    return torch.from_numpy(np.concatenate(padded))
