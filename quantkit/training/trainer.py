"""The training loop: CTC, mixed precision, resumable, keeps the best by validation."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import ctc_loss
from torch.nn.utils import clip_grad_norm_

from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus
from quantkit.errors import CheckpointError, CorpusError, InputError
from quantkit.models.checkpoint import save_wav2letter
from quantkit.models.wav2letter import Wav2Letter
from quantkit.text.labels import Labels
from quantkit.training.batching import Batch, bucket, prefetch
from quantkit.training.clips import ClipPreparer
from quantkit.training.mixture import Mixture
from quantkit.training.optimizers import Schedule, make_optimizer
from quantkit.training.recipe import Recipe
from quantkit.training.run import (
    BEST_NAME,
    Progress,
    autocast_type,
    restore_state,
    save_state,
)
from quantkit.training.validation import ValidationScore, validate


class Trainer:
    """One training run in ``folder``.

    ``folder`` receives ``best/`` (the checkpoint with the lowest validation error so far),
    ``last.pt`` (everything that is needed to go on) and ``history.json``.

    Args:
        recipe: what to do.
        mixture: training utterances by source.
        validation: held-out utterances by source.
        preparer: turns clips into features.
    """

    measure = "CER"

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
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.labels = labels
        self.folder = folder
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = Wav2Letter(recipe.model).to(self.device)
        self.optimizer = make_optimizer(self.model, recipe.optimizer)
        self.schedule = Schedule(self.optimizer, recipe.optimizer, recipe.steps)
        self.step = 0
        self.best = math.inf
        self.history: list[dict[str, object]] = []
        self._mixture = mixture
        self._validation = validation
        self._preparer = preparer
        self._autocast = autocast_type(recipe.precision, self.device)

    def resume(self) -> bool:
        """Go on from ``last.pt``, if there is one.

        Raises:
            CheckpointError: the file is damaged or belongs to another model, alphabet or front
                end.
        """
        return restore_state(self.folder, self.device, self._restore)

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._check_origin(state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.step = int(state["step"])
        self.best = float(state["best"])
        self.history = list(state["history"])

    def _check_origin(self, state: Mapping[str, Any]) -> None:
        # Runs of older versions lack these entries; they can still go on.
        if "labels" in state and Labels.from_json(state["labels"]) != self.labels:
            raise CheckpointError("it was trained on another alphabet")
        frontend = self._preparer.frontend
        if "frontend" in state and Frontend.from_json(state["frontend"]) != frontend:
            raise CheckpointError("it was trained with other front-end settings")

    def warm_start(self, model: Wav2Letter) -> None:
        """Begin from the weights of another model of the same size."""
        try:
            self.model.load_state_dict(model.state_dict())
        except RuntimeError as error:
            raise CheckpointError(f"weights to start from do not fit the recipe: {error}") from None

    def run(self, on_progress: Callable[[Progress], None] = lambda progress: None) -> float:
        """Train to the end of the recipe and return the best validation error (mean CER)."""
        # Adam's second moments sink below the smallest normal numbers, which CPUs are slow at.
        torch.set_flush_denormal(True)
        try:
            self._run(on_progress)
        finally:
            torch.set_flush_denormal(False)
        return self.best

    def _run(self, on_progress: Callable[[Progress], None]) -> None:
        started, audio_seconds = time.monotonic(), 0.0
        for batch in self._batches():
            self._train_mode()
            loss = self._optimize(batch)
            self.step += 1
            audio_seconds += self._preparer.frontend.seconds_of(int(batch.lengths.sum()))
            score = None
            if self.step % self.recipe.validate_every == 0 or self.step == self.recipe.steps:
                score = self._validate(loss)
            on_progress(
                Progress(
                    self.step,
                    self.recipe.steps,
                    loss,
                    self.schedule.learning_rate,
                    audio_seconds / max(1e-9, time.monotonic() - started),
                    score,
                )
            )

    def _train_mode(self) -> None:
        """Training mode, but for batch norm once the recipe freezes it.

        Batches hold clips of one length, hence mostly of one corpus, and batch norm sees each in
        its own statistics; afterwards all share the running ones. The end of a run is therefore
        trained with what will be used.
        """
        self.model.train()
        if self.step >= self.recipe.freeze_norm_from * self.recipe.steps:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()

    def _batches(self) -> Iterator[Batch]:
        """Batches until the recipe's last step; a new epoch begins when a stage ends."""
        recipe = self.recipe
        while self.step < recipe.steps:
            stage = recipe.stage_at(self.step)
            rng = random.Random(f"{recipe.seed}/{self.step}")
            prepare = partial(
                self._preparer.training_batch, rng=np.random.default_rng([recipe.seed, self.step])
            )
            clips = self._mixture.epoch(stage, rng)
            groups = bucket(clips, recipe.batch_seconds, recipe.batch_clips, rng)
            prepared = prefetch(groups, prepare)
            heard = 0
            for batch in prepared:
                heard += 1
                yield batch
                if self.step >= recipe.steps or recipe.stage_at(self.step) is not stage:
                    break
            if not heard:
                raise CorpusError("no training clip is long enough for its transcript")

    def _optimize(self, batch: Batch) -> float:
        batch = batch.to(self.device)
        self.schedule.before_step(self.step)
        with torch.autocast(
            self.device.type, dtype=self._autocast, enabled=self._autocast is not None
        ):
            log_probs, lengths = self.model(batch.features, batch.lengths)
        loss = ctc_loss(
            log_probs.transpose(0, 1),
            batch.targets,
            lengths,
            batch.target_lengths,
            blank=self.labels.blank,
            reduction="sum",
            zero_infinity=True,
        ) / max(1, int(batch.target_lengths.sum()))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_norm = self.recipe.optimizer.clip_norm
        norm = clip_grad_norm_(self.model.parameters(), clip_norm if clip_norm > 0 else math.inf)
        # One clip with an absurd transcript must not undo hours of training.
        if torch.isfinite(norm):
            self.optimizer.step()
        return float(loss.detach())

    def _validate(self, loss: float) -> ValidationScore:
        score = validate(
            self.model, self._validation, self.labels, self._preparer, self.device, self._autocast
        )
        self.schedule.after_validation(score.mean)
        self.history.append(
            {
                "step": self.step,
                "loss": loss,
                "learning_rate": self.schedule.learning_rate,
                "cer": score.mean,
                **{f"cer_{name}": value for name, value in score.by_source.items()},
            }
        )
        if score.mean <= self.best:
            self.best = score.mean
            save_wav2letter(
                self.folder / BEST_NAME,
                self.model,
                self.labels,
                self._preparer.frontend,
                {"recipe": asdict(self.recipe), "step": self.step, "validation_cer": score.mean},
            )
        self._save()
        return score

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "best": self.best,
            "labels": self.labels.to_json(),
            "frontend": self._preparer.frontend.to_json(),
        }
        save_state(self.folder, state, self.history)
