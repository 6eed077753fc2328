"""From keyword clips to batches: cut, augment, normalise, mix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from quantkit.arrays import FloatArray
from quantkit.audio.utterance import Utterance
from quantkit.training.keywords.augment import augment_clip, fitted
from quantkit.training.keywords.recipe import AugmentSettings
from quantkit.training.waveforms import WaveformStore

# Added to the variance by transformers' Wav2Vec2FeatureExtractor.
_VARIANCE_FLOOR = 1e-7


@dataclass(frozen=True)
class KeywordBatch:
    """Clips of equal length and their class probabilities.

    Args:
        waveforms: (batch, samples) float32, each of mean 0 and variance 1.
        targets: (batch, classes) float32, rows of sum 1.
    """

    waveforms: Tensor
    targets: Tensor


def normalised(waveform: FloatArray) -> FloatArray:
    """(samples,) with mean 0 and variance 1, as in ``Wav2Vec2FeatureExtractor``."""
    centred = waveform - waveform.mean()
    return np.asarray(centred / np.sqrt(waveform.var() + _VARIANCE_FLOOR), dtype=np.float32)


@dataclass(frozen=True)
class KeywordPreparer:
    """Turns clips into batches.

    Args:
        classes: in the order of the model's outputs.
        sample_rate: of the waveforms, in Hz.
        samples: length of every clip.
        augment: of training batches.
        backgrounds: utterances without speech, to mix into others.
    """

    classes: tuple[str, ...]
    waveforms: WaveformStore
    sample_rate: int
    samples: int
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    backgrounds: tuple[Utterance, ...] = ()
    _index: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {name: i for i, name in enumerate(self.classes)})

    def training_batch(
        self, clips: Sequence[Utterance], rng: np.random.Generator
    ) -> KeywordBatch | None:
        """Augmented clips, some batches mixed in pairs; ``None`` if none is readable."""
        readable = [u for u in clips if u in self.waveforms]
        if not readable:
            return None
        augmented = []
        for utterance in readable:
            # A few random backgrounds, to avoid decoding all of them.
            background = [self._clip(u) for u in self._some_background(rng)]
            waveform = augment_clip(
                self._clip(utterance), self.sample_rate, self.augment, background, rng
            )
            augmented.append(normalised(waveform))
        waveforms = torch.from_numpy(np.stack(augmented))
        targets = self._targets(readable)
        if rng.random() < self.augment.mixup_probability:
            # Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.
            share = float(rng.beta(self.augment.mixup_alpha, self.augment.mixup_alpha))
            partner = torch.from_numpy(rng.permutation(len(readable)))
            waveforms = share * waveforms + (1.0 - share) * waveforms[partner]
            targets = share * targets + (1.0 - share) * targets[partner]
        return KeywordBatch(waveforms, targets)

    def plain_batch(self, clips: Sequence[Utterance]) -> KeywordBatch:
        """Readable clips without augmentation."""
        waveforms = np.stack([normalised(self._clip(u)) for u in clips])
        return KeywordBatch(torch.from_numpy(waveforms), self._targets(clips))

    def _clip(self, utterance: Utterance) -> FloatArray:
        return fitted(self.waveforms[utterance], self.samples)

    def _some_background(self, rng: np.random.Generator) -> list[Utterance]:
        if not self.backgrounds:
            return []
        return [self.backgrounds[int(rng.integers(len(self.backgrounds)))]]

    def _targets(self, clips: Sequence[Utterance]) -> Tensor:
        targets = torch.zeros(len(clips), len(self.classes))
        for row, utterance in zip(targets, clips, strict=True):
            row[self._index[utterance.text or ""]] = 1.0
        return targets
