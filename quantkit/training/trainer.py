"""Training of Wav2Letter with CTC or ASG; the weights or their moving average are kept."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus
from quantkit.errors import CheckpointError, InputError
from quantkit.models.checkpoint import save_wav2letter
from quantkit.models.wav2letter import Wav2Letter
from quantkit.text.labels import Labels
from quantkit.training.averaging import WeightAverage
from quantkit.training.batching import Batch, bucket
from quantkit.training.clips import ClipPreparer
from quantkit.training.criteria import criterion_of
from quantkit.training.loop import TrainingLoop
from quantkit.training.mixture import Clip, Mixture, seconds_of
from quantkit.training.recipe import Recipe
from quantkit.training.run import BEST_NAME
from quantkit.training.validation import ValidationScore, validate


class Trainer(TrainingLoop[Wav2Letter, list[Clip], Batch]):
    """One training run; the validation error is the mean character error rate of the sources.

    Args:
        recipe: what to do.
        mixture: training utterances by source.
        validation: held-out utterances by source.
        preparer: turns clips into features.
        folder, device: see :class:`~quantkit.training.loop.TrainingLoop`.

    Raises:
        InputError: recipe and alphabet differ in the number of labels.
    """

    measure: ClassVar[str] = "CER"
    nothing_to_train: ClassVar[str] = "no training clip is long enough for its transcript"

    def __init__(
        self,
        recipe: Recipe,
        mixture: Mixture,
        validation: Mapping[str, Corpus],
        labels: Labels,
        preparer: ClipPreparer,
        folder: Path,
        device: torch.device | None = None,
    ) -> None:
        if recipe.model.labels != len(labels):
            raise InputError(
                f"the recipe's model has {recipe.model.labels} labels, the alphabet {len(labels)}"
            )
        self._criterion = criterion_of(labels)
        make_model = partial(self._criterion.make_model, recipe.model)
        super().__init__(recipe, make_model, folder, device)
        self.recipe = recipe
        self.labels = labels
        self._average = self._new_average()
        self._mixture = mixture
        self._validation = validation
        self._preparer = preparer

    def warm_start(self, model: Wav2Letter, labels: Labels | None = None) -> None:
        """Start from the weights of another model of the same size.

        Args:
            labels: of that model, which may hold transitions.

        Raises:
            CheckpointError: it is of another size.
        """
        self._load_weights(self._criterion.begun(model, labels))
        self._average = self._new_average()

    def _new_average(self) -> WeightAverage[Wav2Letter] | None:
        decay = self.recipe.average_decay
        return WeightAverage(self.model, decay) if decay > 0 else None

    @property
    def _kept(self) -> Wav2Letter:
        """The model that is validated and saved."""
        return self._average.model if self._average else self.model

    def _after_step(self) -> None:
        if self._average:
            self._average.update(self.model)

    def _epoch(self, rng: random.Random) -> list[list[Clip]]:
        clips = self._mixture.epoch(self.recipe.stage_at(self.step), rng)
        recipe = self.recipe
        return bucket(clips, seconds_of, recipe.batch_seconds, recipe.batch_clips, rng)

    def _epoch_is_over(self, began: int) -> bool:
        """A new epoch begins when a stage ends."""
        return self.recipe.stage_at(self.step) is not self.recipe.stage_at(began)

    def _prepare(self, group: list[Clip], rng: np.random.Generator) -> Batch | None:
        return self._preparer.training_batch(group, rng)

    def _seconds_of(self, batch: Batch) -> float:
        return self._preparer.frontend.seconds_of(int(batch.lengths.sum()))

    def _train_mode(self) -> None:
        """Training mode, except for batch norm after the recipe freezes it.

        Clips of a batch have similar lengths and therefore mostly come from one corpus, so batch
        norm normalises each corpus by its own statistics. In use all share the running statistics.
        The end of a run is therefore trained with those.
        """
        self.model.train()
        if self.step >= self.recipe.freeze_norm_from * self.recipe.steps:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()

    def _loss(self, batch: Batch) -> Tensor:
        """Loss of the criterion per label of the targets."""
        batch = batch.to(self.device)
        with self._autocast():
            log_probs, lengths = self.model(batch.features, batch.lengths)
        total = self._criterion.total(
            self.model, log_probs, lengths, batch.targets, batch.target_lengths
        )
        return total / max(1, int(batch.target_lengths.sum()))

    def _score(self) -> tuple[ValidationScore, float, dict[str, object]]:
        model, labels = self._criterion.trained(self._kept)
        score = validate(
            model,
            self._validation,
            labels,
            self._preparer,
            self.device,
            self._autocast_type,
        )
        by_source = {f"cer_{name}": value for name, value in score.by_source.items()}
        return score, score.mean, {"cer": score.mean, **by_source}

    def _keep_best(self, figures: Mapping[str, object]) -> None:
        model, labels = self._criterion.trained(self._kept)
        save_wav2letter(
            self.folder / BEST_NAME,
            model,
            labels,
            self._preparer.frontend,
            {
                "recipe": asdict(self.recipe),
                "step": self.step,
                "validation_cer": figures["cer"],
            },
        )

    def _own_state(self) -> dict[str, Any]:
        return {
            "labels": self.labels.to_json(),
            "frontend": self._preparer.frontend.to_json(),
            **({"average": self._average.state_dict()} if self._average else {}),
        }

    def _restore_own(self, state: Mapping[str, Any]) -> None:
        if self._average and "average" in state:
            self._average.load_state_dict(state["average"])
        else:
            self._average = self._new_average()

    def _check_origin(self, state: Mapping[str, Any]) -> None:
        # Runs of older versions lack these entries but can still be resumed.
        if "labels" in state and Labels.from_json(state["labels"]) != self.labels:
            raise CheckpointError("it was trained on another alphabet")
        frontend = self._preparer.frontend
        if "frontend" in state and Frontend.from_json(state["frontend"]) != frontend:
            raise CheckpointError("it was trained with other front-end settings")
