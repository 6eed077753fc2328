"""Training of a keyword spotter with cross-entropy; the moving average of its weights is kept."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Wav2Vec2ConformerForSequenceClassification

from quantkit.audio.utterance import Utterance
from quantkit.errors import CheckpointError
from quantkit.training.averaging import WeightAverage
from quantkit.training.keywords.checkpoint import Spotter, save_spotter
from quantkit.training.keywords.clips import KeywordBatch, KeywordPreparer
from quantkit.training.keywords.model import new_spotter
from quantkit.training.keywords.recipe import KeywordRecipe
from quantkit.training.keywords.validation import Accuracy, measure_accuracy
from quantkit.training.loop import TrainingLoop
from quantkit.training.run import BEST_NAME


class KeywordTrainer(
    TrainingLoop[Wav2Vec2ConformerForSequenceClassification, list[Utterance], KeywordBatch]
):
    """One training run; the validation error is the error rate of the averaged model.

    ``best/`` contains the averaged weights, in the format of ``transformers``.

    Args:
        recipe: what to do.
        training: clips to train on; their texts are classes of the preparer.
        validation: held-out clips.
        preparer: turns clips into batches.
        folder, device: see :class:`~quantkit.training.loop.TrainingLoop`.
    """

    measure: ClassVar[str] = "error rate"
    nothing_to_train: ClassVar[str] = "there is no clip to train on"

    def __init__(
        self,
        recipe: KeywordRecipe,
        training: Sequence[Utterance],
        validation: Sequence[Utterance],
        preparer: KeywordPreparer,
        folder: Path,
        device: torch.device | None = None,
    ) -> None:
        make_model = partial(new_spotter, recipe.model, preparer.classes, preparer.sample_rate)
        super().__init__(recipe, make_model, folder, device)
        self.recipe = recipe
        self.average = WeightAverage(self.model, recipe.average_decay)
        self._training = tuple(training)
        self._validation = tuple(validation)
        self._preparer = preparer

    def warm_start(self, spotter: Spotter) -> None:
        """Start from the weights of another spotter of the same size and classes.

        Raises:
            CheckpointError: size or classes differ.
        """
        if spotter.classes != self._preparer.classes:
            raise CheckpointError("weights to start from are for other classes")
        self._load_weights(spotter.model)
        self.average = WeightAverage(self.model, self.recipe.average_decay)

    def _epoch(self, rng: random.Random) -> list[list[Utterance]]:
        """Every clip once, in random order."""
        clips = list(self._training)
        rng.shuffle(clips)
        size = self.recipe.batch_clips
        return [clips[start : start + size] for start in range(0, len(clips), size)]

    def _prepare(self, group: list[Utterance], rng: np.random.Generator) -> KeywordBatch | None:
        return self._preparer.training_batch(group, rng)

    def _seconds_of(self, batch: KeywordBatch) -> float:
        return len(batch.waveforms) * self.recipe.clip_seconds

    def _train_mode(self) -> None:
        self.model.train()
        # In training mode it would compute the gradient of the waveform, which is not needed.
        self.model.wav2vec2_conformer.feature_extractor.eval()

    def _after_step(self) -> None:
        self.average.update(self.model)

    def _loss(self, batch: KeywordBatch) -> Tensor:
        """Cross-entropy per clip, with smoothed labels."""
        with self._autocast():
            logits = self.model(batch.waveforms.to(self.device)).logits
        return cross_entropy(
            logits.float(),
            batch.targets.to(self.device),
            label_smoothing=self.recipe.label_smoothing,
        )

    def _score(self) -> tuple[Accuracy, float, dict[str, object]]:
        score = measure_accuracy(
            self.average.model,
            self._validation,
            self._preparer,
            self.device,
            self._autocast_type,
        )
        figures = {"accuracy": score.mean, "accuracy_by_class": score.by_class}
        return score, 1.0 - score.mean, figures

    def _keep_best(self, figures: Mapping[str, object]) -> None:
        save_spotter(
            self.folder / BEST_NAME,
            self.average.model,
            self._preparer.sample_rate,
            {
                "recipe": asdict(self.recipe),
                "step": self.step,
                "validation_accuracy": figures["accuracy"],
            },
        )

    def _own_state(self) -> dict[str, Any]:
        return {
            "average": self.average.state_dict(),
            "classes": list(self._preparer.classes),
        }

    def _check_origin(self, state: Mapping[str, Any]) -> None:
        if tuple(state["classes"]) != self._preparer.classes:
            raise CheckpointError("it was trained on other classes")

    def _restore_own(self, state: Mapping[str, Any]) -> None:
        self.average.load_state_dict(state["average"])
