"""The training loop of every task: mixed precision, resumable, keeps the best checkpoint."""

from __future__ import annotations

import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from quantkit.errors import CheckpointError, CorpusError
from quantkit.training.batching import prefetch
from quantkit.training.optimizers import Schedule, make_optimizer
from quantkit.training.recipe import OptimizerSettings, Precision
from quantkit.training.run import Progress, Score, autocast_type, restore_state, save_state

#: After so long the state is saved, and not only when the model is validated.
SAVE_SECONDS = 180.0

ModelT = TypeVar("ModelT", bound=nn.Module)
GroupT = TypeVar("GroupT")
BatchT = TypeVar("BatchT")


class LoopRecipe(Protocol):
    """The part of a recipe that the loop reads."""

    @property
    def optimizer(self) -> OptimizerSettings:
        """Optimizer and learning-rate schedule."""

    @property
    def steps(self) -> int:
        """Optimizer steps."""

    @property
    def validate_every(self) -> int:
        """Steps from one validation to the next."""

    @property
    def precision(self) -> Precision:
        """Precision of matrix products."""

    @property
    def seed(self) -> int:
        """Of weights, order and augmentation."""


class TrainingLoop(ABC, Generic[ModelT, GroupT, BatchT]):
    """One training run in ``folder``; a task derives its trainer from it.

    ``folder`` receives ``best/`` (the checkpoint with the lowest validation error so far),
    ``last.pt`` (the state needed to resume) and ``history.json``. All random choices depend on the
    recipe's seed and the step only, so that a resumed run uses the same clips.

    A task defines how clips are grouped (:meth:`_epoch`) and prepared (:meth:`_prepare`), the loss
    of a batch (:meth:`_loss`), the validation (:meth:`_score`) and what is saved
    (:meth:`_keep_best`, :meth:`_own_state`).

    Args:
        recipe: what to do.
        make_model: builds the model, after the seed is set.
        device: None: a GPU if there is one.
    """

    #: Name of the validation error, of which ``best`` is the lowest so far.
    measure: ClassVar[str]
    #: Error message for an epoch without any batch.
    nothing_to_train: ClassVar[str]

    def __init__(
        self,
        recipe: LoopRecipe,
        make_model: Callable[[], ModelT],
        folder: Path,
        device: torch.device | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.folder = folder
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = make_model().to(self.device)
        self.optimizer = make_optimizer(self.model, recipe.optimizer)
        self.schedule = Schedule(self.optimizer, recipe.optimizer, recipe.steps)
        self.step = 0
        self.best = math.inf
        self.history: list[dict[str, object]] = []
        self._settings = recipe
        self._autocast_type = autocast_type(recipe.precision, self.device)

    # Implemented by each task.

    @abstractmethod
    def _epoch(self, rng: random.Random) -> Iterable[GroupT]:
        """The clips of each batch until the next epoch begins."""

    @abstractmethod
    def _prepare(self, group: GroupT, rng: np.random.Generator) -> BatchT | None:
        """The batch of some clips; None if none of them is usable. Runs in a thread."""

    @abstractmethod
    def _seconds_of(self, batch: BatchT) -> float:
        """Audio in a batch, in seconds."""

    @abstractmethod
    def _loss(self, batch: BatchT) -> Tensor:
        """(), the loss to minimise."""

    @abstractmethod
    def _score(self) -> tuple[Score, float, Mapping[str, object]]:
        """Validate the model: score, error, and figures for the history."""

    @abstractmethod
    def _keep_best(self, figures: Mapping[str, object]) -> None:
        """Write the checkpoint ``best/``; ``figures`` are those of its history entry."""

    @abstractmethod
    def _own_state(self) -> dict[str, Any]:
        """State of a resumed run besides model, optimizer and schedule."""

    def _check_origin(self, state: Mapping[str, Any]) -> None:
        """Refuse the state of a run that this one cannot continue.

        Raises:
            CheckpointError: it is of another model or other data.
        """

    def _restore_own(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`_own_state`."""

    def _train_mode(self) -> None:
        """Set the model to training mode, before each step."""
        self.model.train()

    def _after_step(self) -> None:
        """Called after each step of the optimizer, for example to average weights."""

    def _epoch_is_over(self, began: int) -> bool:
        """Whether the epoch that began at that step ends before its clips do."""
        return False

    # Shared by all tasks.

    def resume(self) -> bool:
        """Resume from ``last.pt``, if it exists.

        Raises:
            CheckpointError: the file is damaged or belongs to another model or other data.
        """
        return restore_state(self.folder, self.device, self._restore)

    def run(self, on_progress: Callable[[Progress], None] = lambda progress: None) -> float:
        """Train to the end of the recipe and return the best validation error."""
        # Adam's second moments become subnormal numbers, which are slow on CPUs.
        torch.set_flush_denormal(True)
        try:
            self._run(on_progress)
        finally:
            torch.set_flush_denormal(False)
        return self.best

    def _autocast(self) -> torch.autocast:
        """The precision in which the model runs."""
        enabled = self._autocast_type is not None
        return torch.autocast(self.device.type, dtype=self._autocast_type, enabled=enabled)

    def _load_weights(self, model: nn.Module) -> None:
        """Start from the weights of another model of the same size.

        Raises:
            CheckpointError: it is of another size.
        """
        try:
            self.model.load_state_dict(model.state_dict())
        except RuntimeError as error:
            raise CheckpointError(f"weights to start from do not fit the recipe: {error}") from None

    def _run(self, on_progress: Callable[[Progress], None]) -> None:
        started, audio_seconds = time.monotonic(), 0.0
        saved = started
        steps = self._settings.steps
        for batch in self._batches():
            loss = self._optimize(batch)
            self.step += 1
            audio_seconds += self._seconds_of(batch)
            score = None
            if self.step % self._settings.validate_every == 0 or self.step == steps:
                score = self._validate(loss)
            # On a slow machine hours may lie between two validations.
            if score is not None or time.monotonic() - saved > SAVE_SECONDS:
                self._save()
                saved = time.monotonic()
            on_progress(
                Progress(
                    self.step,
                    steps,
                    loss,
                    self.schedule.learning_rate,
                    audio_seconds / max(1e-9, time.monotonic() - started),
                    score,
                )
            )

    def _batches(self) -> Iterator[BatchT]:
        """Batches until the recipe's last step, epoch after epoch."""
        seed, steps = self._settings.seed, self._settings.steps
        while self.step < steps:
            began = self.step
            groups = self._epoch(random.Random(f"{seed}/{began}"))
            prepare = partial(self._prepare, rng=np.random.default_rng([seed, began]))
            batches = 0
            for batch in prefetch(groups, prepare):
                batches += 1
                yield batch
                if self.step >= steps or self._epoch_is_over(began):
                    break
            if not batches:
                raise CorpusError(self.nothing_to_train)

    def _optimize(self, batch: BatchT) -> float:
        self._train_mode()
        self.schedule.before_step(self.step)
        # Dropout depends on seed and step, like all else, so that a resumed run has the same.
        torch.manual_seed(
            int(np.random.SeedSequence([self._settings.seed, self.step]).generate_state(1)[0])
        )
        loss = self._loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_norm = self._settings.optimizer.clip_norm
        norm = clip_grad_norm_(self.model.parameters(), clip_norm if clip_norm > 0 else math.inf)
        # One clip with a wrong transcript must not undo hours of training.
        if torch.isfinite(norm):
            self.optimizer.step()
            self._after_step()
        return float(loss.detach())

    def _validate(self, loss: float) -> Score:
        score, error, figures = self._score()
        self.schedule.after_validation(error)
        self.history.append(
            {
                "step": self.step,
                "loss": loss,
                "learning_rate": self.schedule.learning_rate,
                **figures,
            }
        )
        # Among equals the later one, which had a lower learning rate.
        if error <= self.best:
            self.best = error
            self._keep_best(figures)
        return score

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "best": self.best,
            **self._own_state(),
        }
        save_state(self.folder, state, self.history)

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._check_origin(state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        # Keyword spotters of older versions stored none; their schedules have no state.
        self.schedule.load_state_dict(state.get("schedule", {}))
        self.step = int(state["step"])
        self.best = float(state["best"])
        self.history = list(state["history"])
        self._restore_own(state)
