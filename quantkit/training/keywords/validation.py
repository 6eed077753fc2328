"""Accuracy of a keyword spotter, overall and by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import Wav2Vec2ConformerForSequenceClassification

from quantkit.audio.utterance import Utterance
from quantkit.errors import CorpusError
from quantkit.text.distances import bootstrap_interval
from quantkit.training.keywords.clips import KeywordPreparer

_CLIPS_PER_BATCH = 64


@dataclass(frozen=True)
class Accuracy:
    """Which clips were recognised.

    Args:
        correct: by class, whether each of its clips was recognised, in the given order.
    """

    correct: dict[str, tuple[bool, ...]]

    @property
    def mean(self) -> float:
        """Share of all clips that were recognised."""
        return float(np.mean(self._every))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of :attr:`mean` over clips."""
        return bootstrap_interval(np.array(self._every, np.float64))

    @property
    def by_class(self) -> dict[str, float]:
        """Share of each class' clips."""
        return {name: float(np.mean(found)) for name, found in self.correct.items()}

    @property
    def summary(self) -> str:
        """Accuracy and the worst class, as text."""
        worst, share = min(self.by_class.items(), key=lambda item: item[1])
        return f"accuracy {self.mean:.1%} (least {worst} {share:.1%})"

    @property
    def _every(self) -> list[bool]:
        return [found for clips in self.correct.values() for found in clips]


def measure_accuracy(
    model: Wav2Vec2ConformerForSequenceClassification,
    clips: Sequence[Utterance],
    preparer: KeywordPreparer,
    device: torch.device | None = None,
    autocast: torch.dtype | None = None,
) -> Accuracy:
    """Classify every clip; the model is left in evaluation mode.

    A clip that cannot be decoded counts as wrong, so that unreadable clips do not improve the
    accuracy.

    Raises:
        CorpusError: no clips.
    """
    if not clips:
        raise CorpusError("there is no clip to classify")
    device = device or torch.device("cpu")
    model.eval()
    correct: dict[str, list[bool]] = {name: [] for name in preparer.classes}
    readable = [u for u in clips if u in preparer.waveforms]
    for utterance in clips:
        if utterance not in preparer.waveforms:
            correct[utterance.text or ""].append(False)
    for start in range(0, len(readable), _CLIPS_PER_BATCH):
        group = readable[start : start + _CLIPS_PER_BATCH]
        batch = preparer.plain_batch(group)
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype=autocast, enabled=autocast is not None),
        ):
            best = model(batch.waveforms.to(device)).logits.argmax(dim=-1).cpu()
        found = best == batch.targets.argmax(dim=-1)
        for utterance, right in zip(group, found.tolist(), strict=True):
            correct[utterance.text or ""].append(right)
    return Accuracy({name: tuple(found) for name, found in correct.items() if found})
