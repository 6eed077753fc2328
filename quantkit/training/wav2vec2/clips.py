"""From training clips to batches of waveforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from quantkit.arrays import FloatArray
from quantkit.training.augment import mask_waveform
from quantkit.training.batching import Batch, collate
from quantkit.training.clips import ClipPreparer
from quantkit.training.mixture import Clip

# Added to the variance by transformers' Wav2Vec2FeatureExtractor.
_VARIANCE_FLOOR = 1e-7
# Convolution libraries prepare a kernel for every new length.
_SAMPLES_MULTIPLE = 2_560


@dataclass(frozen=True)
class TaughtBatch(Batch):
    """Masked waveforms for the pupil, and whole ones for the teacher.

    Args:
        whole: (batch, samples) in [-1, 1], before masking and normalising.
    """

    whole: Tensor

    def to(self, device: torch.device) -> TaughtBatch:
        """The same batch on ``device``."""
        moved = super().to(device)
        return TaughtBatch(
            moved.features,
            moved.lengths,
            moved.targets,
            moved.target_lengths,
            self.whole.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class WaveformPreparer(ClipPreparer):
    """Turns clips into padded batches of samples, each clip of mean 0 and variance 1."""

    def training_batch(self, clips: Sequence[Clip], rng: np.random.Generator) -> Batch | None:
        """A :class:`TaughtBatch`, or ``None`` if no clip is usable."""
        rate = self.frontend.sample_rate
        whole = [
            (clip, text)
            for clip, text in self.augmented(clips, rng)
            if self.fits(len(clip), self.labels.encode(text))
        ]
        batch = self._batch(
            [(normalised(mask_waveform(c, rate, self.augment, rng)), text) for c, text in whole]
        )
        if batch is None:
            return None
        unmasked = self._collated([clip for clip, _ in whole], [[]] * len(whole)).features
        return TaughtBatch(
            batch.features, batch.lengths, batch.targets, batch.target_lengths, unmasked
        )

    def validation_batch(self, clips: Sequence[Clip]) -> Batch | None:
        """Unmasked waveforms and targets, or ``None`` if no clip is usable."""
        batch = super().validation_batch(clips)
        if batch is None:
            return None
        rows = zip(batch.features.numpy(), batch.lengths.tolist(), strict=True)
        clean = self._collated([normalised(row[:length]) for row, length in rows], [])
        return replace(batch, features=clean.features)

    def _collated(self, features: Sequence[FloatArray], targets: Sequence[Sequence[int]]) -> Batch:
        return collate(features, targets, _SAMPLES_MULTIPLE)


def normalised(waveform: FloatArray) -> FloatArray:
    """(samples,) with mean 0 and variance 1, as in ``Wav2Vec2FeatureExtractor``."""
    centred = waveform - waveform.mean()
    return np.asarray(centred / np.sqrt(waveform.var() + _VARIANCE_FLOOR), dtype=np.float32)
