"""The training loop of a keyword spotter: resumable, keeps the best by validation."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from quantkit.audio.utterance import Utterance
from quantkit.errors import CheckpointError
from quantkit.training.batching import prefetch
from quantkit.training.keywords.averaging import WeightAverage
from quantkit.training.keywords.checkpoint import Spotter, save_spotter
from quantkit.training.keywords.clips import KeywordBatch, KeywordPreparer
from quantkit.training.keywords.model import new_spotter
from quantkit.training.keywords.recipe import KeywordRecipe
from quantkit.training.keywords.validation import Accuracy, measure_accuracy
from quantkit.training.optimizers import Schedule, make_optimizer
from quantkit.training.run import BEST_NAME, Progress, autocast_type, restore_state, save_state


class KeywordTrainer:
    """One training run in ``folder``.

    ``folder`` receives ``best/`` (the averaged weights with the lowest validation error so far,
    as a folder that ``transformers`` loads), ``last.pt`` (everything that is needed to go on)
    and ``history.json``.

    Args:
        recipe: what to do.
        training: clips to train on; their texts are classes of the preparer.
        validation: held-out clips.
        preparer: turns clips into batches.
    """

    measure = "error rate"

    def __init__(
        self,
        recipe: KeywordRecipe,
        training: Sequence[Utterance],
        validation: Sequence[Utterance],
        preparer: KeywordPreparer,
        folder: Path,
        device: torch.device | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.folder = folder
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = new_spotter(recipe.model, preparer.classes, preparer.sample_rate)
        module: nn.Module = self.model
        module.to(self.device)
        self.average = WeightAverage(self.model, recipe.average_decay)
        self.optimizer = make_optimizer(self.model, recipe.optimizer)
        self.schedule = Schedule(self.optimizer, recipe.optimizer, recipe.steps)
        self.step = 0
        self.best = math.inf
        self.history: list[dict[str, object]] = []
        self._training = tuple(training)
        self._validation = tuple(validation)
        self._preparer = preparer
        self._autocast = autocast_type(recipe.precision, self.device)

    def resume(self) -> bool:
        """Go on from ``last.pt``, if there is one.

        Raises:
            CheckpointError: the file is damaged or belongs to another model or other classes.
        """
        return restore_state(self.folder, self.device, self._restore)

    def _restore(self, state: Mapping[str, Any]) -> None:
        if tuple(state["classes"]) != self._preparer.classes:
            raise CheckpointError("it was trained on other classes")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        self.best = float(state["best"])
        self.history = list(state["history"])

    def warm_start(self, spotter: Spotter) -> None:
        """Begin from the weights of another spotter of the same size and classes.

        Raises:
            CheckpointError: size or classes differ.
        """
        if spotter.classes != self._preparer.classes:
            raise CheckpointError("weights to start from are for other classes")
        try:
            self.model.load_state_dict(spotter.model.state_dict())
        except RuntimeError as error:
            raise CheckpointError(f"weights to start from do not fit the recipe: {error}") from None
        self.average = WeightAverage(self.model, self.recipe.average_decay)

    def run(self, on_progress: Callable[[Progress], None] = lambda progress: None) -> float:
        """Train to the end of the recipe and return the best validation error (1 - accuracy)."""
        # Adam's second moments sink below the smallest normal numbers, which CPUs are slow at.
        torch.set_flush_denormal(True)
        try:
            self._run(on_progress)
        finally:
            torch.set_flush_denormal(False)
        return self.best

    def _run(self, on_progress: Callable[[Progress], None]) -> None:
        started, clips = time.monotonic(), 0
        for batch in self._batches():
            loss = self._optimize(batch)
            self.step += 1
            clips += len(batch.waveforms)
            score = None
            if self.step % self.recipe.validate_every == 0 or self.step == self.recipe.steps:
                score = self._validate(loss)
            on_progress(
                Progress(
                    self.step,
                    self.recipe.steps,
                    loss,
                    self.schedule.learning_rate,
                    clips * self.recipe.clip_seconds / max(1e-9, time.monotonic() - started),
                    score,
                )
            )

    def _batches(self) -> Iterator[KeywordBatch]:
        """Batches until the recipe's last step; every epoch hears each clip once."""
        recipe = self.recipe
        while self.step < recipe.steps:
            clips = list(self._training)
            random.Random(f"{recipe.seed}/{self.step}").shuffle(clips)
            groups = [
                clips[start : start + recipe.batch_clips]
                for start in range(0, len(clips), recipe.batch_clips)
            ]
            prepare = partial(
                self._preparer.training_batch, rng=np.random.default_rng([recipe.seed, self.step])
            )
            for batch in prefetch(groups, prepare):
                yield batch
                if self.step >= recipe.steps:
                    break

    def _optimize(self, batch: KeywordBatch) -> float:
        self.model.train()
        # In training mode it asks for the gradient of the waveform, which nobody needs.
        self.model.wav2vec2_conformer.feature_extractor.eval()
        self.schedule.before_step(self.step)
        with torch.autocast(
            self.device.type, dtype=self._autocast, enabled=self._autocast is not None
        ):
            logits = self.model(batch.waveforms.to(self.device)).logits
        loss = cross_entropy(
            logits.float(),
            batch.targets.to(self.device),
            label_smoothing=self.recipe.label_smoothing,
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_norm = self.recipe.optimizer.clip_norm
        clip_grad_norm_(self.model.parameters(), clip_norm if clip_norm > 0 else math.inf)
        self.optimizer.step()
        self.average.update(self.model)
        return float(loss.detach())

    def _validate(self, loss: float) -> Accuracy:
        score = measure_accuracy(
            self.average.model, self._validation, self._preparer, self.device, self._autocast
        )
        error = 1.0 - score.mean
        self.history.append(
            {
                "step": self.step,
                "loss": loss,
                "learning_rate": self.schedule.learning_rate,
                "accuracy": score.mean,
                "accuracy_by_class": score.by_class,
            }
        )
        # Among equals the later one: its learning rate was lower.
        if error <= self.best:
            self.best = error
            save_spotter(
                self.folder / BEST_NAME,
                self.average.model,
                self._preparer.sample_rate,
                {
                    "recipe": asdict(self.recipe),
                    "step": self.step,
                    "validation_accuracy": score.mean,
                },
            )
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "best": self.best,
            "classes": list(self._preparer.classes),
        }
        save_state(self.folder, state, self.history)
        return score
