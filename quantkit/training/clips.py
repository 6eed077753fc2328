"""From training clips to batches: decode, join, augment, features, targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.augmentation.speechless import speechless
from quantkit.audio.frontends import AnyFrontend
from quantkit.text.labels import Labels
from quantkit.training.augment import augment_waveform, mask_features
from quantkit.training.batching import Batch, collate
from quantkit.training.mixture import Clip, joined_text, seconds_of
from quantkit.training.recipe import AugmentSettings
from quantkit.training.waveforms import WaveformStore


@dataclass(frozen=True)
class ClipPreparer:
    """Turns clips into padded batches.

    Args:
        fits: whether the model has a path from so many frames to a target; a clip that has none is
            skipped.
    """

    frontend: AnyFrontend
    labels: Labels
    waveforms: WaveformStore
    augment: AugmentSettings
    fits: Callable[[int, Sequence[int]], bool]

    def training_batch(self, clips: Sequence[Clip], rng: np.random.Generator) -> Batch | None:
        """Augmented features and targets, or ``None`` if no clip is usable."""
        return self._batch(
            [(mask_features(f, self.augment, rng), text) for f, text in self.augmented(clips, rng)]
        )

    def augmented(
        self, clips: Sequence[Clip], rng: np.random.Generator
    ) -> Iterator[tuple[FloatArray, str]]:
        """Features of each usable clip before they are masked, and its text."""
        share = self.augment.speechless_probability
        for clip in clips:
            silent = share > 0 and rng.random() < share
            features = self._speechless(clip, rng) if silent else self._features(clip, rng)
            if features is not None:
                yield features, "" if silent else joined_text(clip)

    def validation_batch(self, clips: Sequence[Clip]) -> Batch | None:
        """Plain features and targets, or ``None`` if no clip is usable."""
        prepared = []
        for clip in clips:
            features = self._features(clip, None)
            if features is not None:
                prepared.append((features, joined_text(clip)))
        return self._batch(prepared)

    def _features(self, clip: Clip, rng: np.random.Generator | None) -> FloatArray | None:
        ready = [u.features for u in clip if u.features is not None]
        if ready:
            return np.concatenate(ready)
        audible = [u for u in clip if u in self.waveforms]
        if len(audible) < len(clip):
            return None
        waveform = self._joined([self.waveforms[u] for u in audible], rng)
        if rng is not None:
            waveform = augment_waveform(waveform, self.frontend.sample_rate, self.augment, rng)
        return self._features_of(waveform)

    def _joined(
        self, waveforms: Sequence[FloatArray], rng: np.random.Generator | None
    ) -> FloatArray:
        """One after the other with pauses between, which are half as long as the longest where
        none is drawn.
        """
        longest = self.augment.pause_seconds * self.frontend.sample_rate
        if longest <= 0 or len(waveforms) < 2:
            return np.concatenate(waveforms)
        count = len(waveforms) - 1
        drawn = np.full(count, 0.5) if rng is None else rng.uniform(size=count)
        parts = [waveforms[0]]
        for share, waveform in zip(drawn, waveforms[1:], strict=True):
            parts += [np.zeros(round(share * longest), np.float32), waveform]
        return np.concatenate(parts)

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

    def _batch(self, prepared: Sequence[tuple[FloatArray, str]]) -> Batch | None:
        usable = []
        for features, text in prepared:
            target = self.labels.encode(text)
            if self.fits(len(features), target):
                usable.append((features, target))
        if not usable:
            return None
        return self._collated([f for f, _ in usable], [t for _, t in usable])

    def _collated(self, features: Sequence[FloatArray], targets: Sequence[Sequence[int]]) -> Batch:
        return collate(features, targets)
