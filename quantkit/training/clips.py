"""From training clips to batches: decode, join, augment, features, targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Utterance
from quantkit.text.labels import Labels
from quantkit.training.augment import augment_waveform, mask_features
from quantkit.training.batching import Batch, collate
from quantkit.training.mixture import Clip, joined_text, seconds_of
from quantkit.training.recipe import AugmentSettings
from quantkit.training.speechless import speechless
from quantkit.training.waveforms import WaveformStore


@dataclass(frozen=True)
class ClipPreparer:
    """Turns clips into padded batches.

    Args:
        output_frames: function from input frames to output frames of the model; a clip whose
            transcript does not fit into them has no CTC path and is skipped.
    """

    frontend: Frontend
    labels: Labels
    waveforms: WaveformStore
    augment: AugmentSettings
    output_frames: Callable[[int], int]

    def training_batch(self, clips: Sequence[Clip], rng: np.random.Generator) -> Batch | None:
        """Augmented features and targets, or ``None`` if no clip is usable."""
        prepared = []
        share = self.augment.speechless_probability
        for clip in clips:
            silent = share > 0 and rng.random() < share
            features = self._speechless(clip, rng) if silent else self._features(clip, rng)
            if features is not None:
                text = "" if silent else joined_text(clip)
                prepared.append((mask_features(features, self.augment, rng), text))
        return self._batch(prepared)

    def validation_batch(self, utterances: Sequence[Utterance]) -> Batch | None:
        """Plain features and targets, or ``None`` if no utterance is usable."""
        prepared = []
        for utterance in utterances:
            features = self._features((utterance,), None)
            if features is not None:
                prepared.append((features, utterance.text or ""))
        return self._batch(prepared)

    def _features(self, clip: Clip, rng: np.random.Generator | None) -> FloatArray | None:
        ready = [u.features for u in clip if u.features is not None]
        if ready:
            return np.concatenate(ready)
        audible = [u for u in clip if u in self.waveforms]
        if len(audible) < len(clip):
            return None
        waveform = np.concatenate([self.waveforms[u] for u in audible])
        if rng is not None:
            waveform = augment_waveform(waveform, self.frontend.sample_rate, self.augment, rng)
        return self._features_of(waveform)

    def _speechless(self, clip: Clip, rng: np.random.Generator) -> FloatArray:
        """Features of noise as long as the clip."""
        rate = self.frontend.sample_rate
        samples = round(seconds_of(clip) * rate)
        return self._features_of(speechless(samples, rate, rng))

    def _features_of(self, waveform: FloatArray) -> FloatArray:
        shortfall = self.frontend.window - waveform.size
        if shortfall > 0:
            waveform = np.pad(waveform, (0, shortfall))
        return self.frontend(waveform)

    def _batch(self, prepared: list[tuple[FloatArray, str]]) -> Batch | None:
        usable = []
        for features, text in prepared:
            target = self.labels.encode(text)
            repeats = sum(a == b for a, b in pairwise(target))
            if self.output_frames(len(features)) >= len(target) + repeats:
                usable.append((features, target))
        if not usable:
            return None
        return collate([f for f, _ in usable], [t for _, t in usable])
