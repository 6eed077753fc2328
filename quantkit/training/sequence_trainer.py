"""Training of models that write text: what CTC and transducers have in common."""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import nn

from quantkit.audio.frontends import frontend_from_json
from quantkit.errors import CheckpointError
from quantkit.text.labels import Labels
from quantkit.training.averaging import WeightAverage
from quantkit.training.batching import Batch, bucket
from quantkit.training.clips import ClipPreparer
from quantkit.training.loop import TrainingLoop
from quantkit.training.mixture import Clip, Mixture, seconds_of
from quantkit.training.recipe import Recipe
from quantkit.training.validation import ErrorRate, ValidationScore, validate

ModelT = TypeVar("ModelT", bound=nn.Module)


@dataclass(frozen=True)
class TrainingData:
    """What a run hears, and what it writes of it.

    Args:
        mixture: training utterances by source.
        validation: held-out clips by source.
        labels: that the model writes.
        preparer: turns clips into features.
    """

    mixture: Mixture
    validation: Mapping[str, Sequence[Clip]]
    labels: Labels
    preparer: ClipPreparer


class SequenceTrainer(TrainingLoop[ModelT, list[Clip], Batch]):
    """One training run; the validation error is the mean error rate of the sources.

    A kind of model defines its loss, how it writes (:meth:`_transcribe`), and what is saved. The
    weights or their moving average are validated and kept.

    Args:
        recipe: what to do.
        make_model: builds the model, after the seed is set.
        data: clips and labels.
        folder, device: see :class:`~quantkit.training.loop.TrainingLoop`.
    """

    #: What the validation error is counted in.
    error_rate: ClassVar[ErrorRate]

    def __init__(
        self,
        recipe: Recipe,
        make_model: Callable[[], ModelT],
        data: TrainingData,
        folder: Path,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(recipe, make_model, folder, device)
        self.recipe = recipe
        self.labels = data.labels
        self._average = self._new_average()
        self._mixture = data.mixture
        self._validation = data.validation
        self._preparer = data.preparer

    @abstractmethod
    def _transcribe(self, batch: Batch) -> list[str]:
        """The greedy text of each clip, by the model that is kept, in evaluation mode."""

    def warm_start(self, model: nn.Module, labels: Labels | None = None) -> None:
        """Start from the weights of another model of the same size.

        Args:
            labels: of that model.

        Raises:
            CheckpointError: it is of another size.
        """
        self._load_weights(model)
        self._average = self._new_average()

    def _new_average(self) -> WeightAverage[ModelT] | None:
        decay = self.recipe.average_decay
        return WeightAverage(self.model, decay) if decay > 0 else None

    @property
    def _kept(self) -> ModelT:
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

    def _score(self) -> tuple[ValidationScore, float, dict[str, object]]:
        self._kept.eval()
        with torch.inference_mode(), self._autocast():
            score = validate(
                self._transcribe, self._validation, self.labels, self._preparer, self.error_rate
            )
        return score, score.mean, score.figures

    def _own_state(self) -> dict[str, Any]:
        return {
            "labels": self.labels.to_json(),
            "frontend": self._preparer.frontend.to_json(),
            "validated": self._validated,
            **({"average": self._average.state_dict()} if self._average else {}),
        }

    @property
    def _validated(self) -> dict[str, int]:
        """Held-out clips of each source."""
        return {name: len(clips) for name, clips in sorted(self._validation.items())}

    def _restore_own(self, state: Mapping[str, Any]) -> None:
        # Errors on other clips cannot be compared with those so far.
        if "validated" in state and state["validated"] != self._validated:
            self.best = math.inf
        if self._average and "average" in state:
            self._average.load_state_dict(state["average"])
        else:
            self._average = self._new_average()

    def _check_origin(self, state: Mapping[str, Any]) -> None:
        # Runs of older versions lack these entries but can still be resumed.
        if "labels" in state and Labels.from_json(state["labels"]) != self.labels:
            raise CheckpointError("it was trained on another alphabet")
        frontend = self._preparer.frontend
        if "frontend" in state and frontend_from_json(state["frontend"]) != frontend:
            raise CheckpointError("it was trained with other front-end settings")
