"""The float model teaches its quantized self, for a given time; resumable."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from quantkit.errors import CheckpointError
from quantkit.finetuning.clips import ClipBatch, TrainingClips
from quantkit.finetuning.graph import TorchGraph
from quantkit.finetuning.losses import divergence, log_posteriors, transcript_loss
from quantkit.finetuning.schedules import make_schedule
from quantkit.finetuning.settings import FinetuneSettings
from quantkit.finetuning.student import Student
from quantkit.text.labels import Labels
from quantkit.training.batching import bucket, prefetch
from quantkit.training.run import autocast_type, restore_state, save_state

_CLIP_NORM = 1.0
_BATCH_CLIPS = 64
#: Share of the run after which it is validated, and saved, again.
_VALIDATE_EVERY = 0.1
_SAVE_SECONDS = 180.0


@dataclass(frozen=True)
class FinetuneProgress:
    """After every step; ``divergence`` only after a validation.

    Args:
        share: of the run that is done.
        loss: of the step's batch.
        divergence: of the held-out clips, in nats per frame.
    """

    step: int
    share: float
    loss: float
    divergence: float | None = None


class Finetuning:
    """One run in ``folder``, which receives ``last.pt`` and ``history.json``.

    Args:
        teacher: the float model.
        student: is trained.
        clips: to hear.
        output: that holds the posteriors.
        lengths: output with the number of valid frames of each clip; None: all are valid.
        labels: of the transcripts; None: there are none.
        settings: length and rates.
        folder: of the run.
        origin: what tells this run from others; a state of another is refused.

    Raises:
        InputError: a codec of the student cannot be trained by the schedule of ``settings``.
    """

    def __init__(
        self,
        teacher: TorchGraph,
        student: Student,
        clips: TrainingClips,
        *,
        output: str,
        lengths: str | None,
        labels: Labels | None,
        settings: FinetuneSettings,
        folder: Path,
        origin: str,
    ) -> None:
        self.student, self.settings, self.folder = student, settings, folder
        self._teacher, self._clips = teacher, clips
        self._output, self._lengths, self._labels = output, lengths, labels
        self._origin = origin
        # Before the optimizer: a schedule may keep parameters as they are.
        self._schedule = make_schedule(settings.schedule, student, settings.parts, settings.seed)
        self._groups = student.groups(settings.learning_rate, settings.scale_rate)
        self._peaks = (settings.learning_rate, settings.scale_rate)
        self._optimizer = torch.optim.Adam(self._groups)
        self._autocast_type = autocast_type(settings.precision, torch.device("cpu"))
        self.step, self.seconds = 0, 0.0
        self.first: float | None = None
        self.best: float | None = None
        self._best_state: dict[str, Tensor] = {}
        self.history: list[dict[str, object]] = []

    def resume(self) -> bool:
        """Go on from ``last.pt``, if it exists.

        Raises:
            CheckpointError: the file is damaged, or of another run.
        """
        return restore_state(self.folder, torch.device("cpu"), self._restore)

    def run(self, on_step: Callable[[FinetuneProgress], None] = lambda progress: None) -> None:
        """Train to the end; the student is then what it was when its divergence was lowest."""
        if self.first is None:
            self.first = self._validate(None)
            self._schedule.begin()
        self.student.forget_float()
        torch.set_flush_denormal(True)
        try:
            self._run(on_step)
        finally:
            torch.set_flush_denormal(False)
        self.student.load_state_dict(self._best_state)
        # What was encoded last is not what was best.
        self.student.refresh()
        self._schedule.finish()

    @property
    def share(self) -> float:
        """Of the run that is done."""
        settings = self.settings
        by_time = self.seconds / (60.0 * settings.minutes)
        return min(1.0, max(by_time, self.step / settings.steps if settings.steps else 0.0))

    def _run(self, on_step: Callable[[FinetuneProgress], None]) -> None:
        validated, saved = self.share, self.seconds
        last = time.monotonic()
        for batch in self._batches():
            loss = self._optimize(batch)
            self.step += 1
            if self.step % self.settings.refresh_every == 0:
                self.student.refresh()
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            found = None
            if self.share >= min(1.0, validated + _VALIDATE_EVERY):
                found, validated = self._validate(loss), self.share
            if found is not None or self.seconds > saved + _SAVE_SECONDS:
                self._save()
                saved = self.seconds
            # Validating takes from the time of the run, too.
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            on_step(FinetuneProgress(self.step, self.share, loss, found))
        if self.history[-1]["step"] != self.step:
            self._validate(None)
            self._save()

    def _batches(self) -> Iterator[ClipBatch]:
        """Batches until the run ends, epoch after epoch."""
        seconds, most = self._clips.seconds, self.settings.batch_seconds
        together = _BATCH_CLIPS if self._clips.can_be_batched else 1
        while self.share < 1.0:
            began = self.step
            order = random.Random(f"{self.settings.seed}/{began}")
            groups = bucket(self._clips.trained, seconds.__getitem__, most, together, order)
            prepare = partial(
                self._clips.batch, rng=np.random.default_rng([self.settings.seed, began])
            )
            for batch in prefetch(groups, prepare, depth=2):
                yield batch
                if self.share >= 1.0:
                    return

    def _optimize(self, batch: ClipBatch) -> float:
        rate = self._schedule.before_step(self.step, self.share)
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * rate
        loss = self._loss(batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_grad_norm_(self.student.parameters(), _CLIP_NORM)
        if torch.isfinite(norm):
            self._optimizer.step()
            self._schedule.after_step()
        return loss.item()

    def _loss(self, batch: ClipBatch) -> Tensor:
        with torch.no_grad(), self._autocast():
            taught = self._teacher(batch.inputs)
        with self._autocast():
            said = self.student(batch.inputs)
        lengths = None if self._lengths is None else taught[self._lengths]
        own = log_posteriors(said[self._output])
        loss = divergence(log_posteriors(taught[self._output]), own, lengths)
        if self._labels is not None and lengths is not None:
            told = transcript_loss(own, lengths, batch.targets, self._labels)
            loss = loss + self.settings.ctc_weight * told
        return loss

    def _autocast(self) -> torch.autocast:
        enabled = self._autocast_type is not None
        return torch.autocast("cpu", dtype=self._autocast_type, enabled=enabled)

    def _validate(self, loss: float | None) -> float:
        """The held-out divergence of what a file would hold; keeps the student if it is lowest."""
        self.student.refresh()
        total = frames = 0.0
        with torch.no_grad(), self.student.as_stored():
            for batch in self._clips.held_out_batches(self.settings.batch_seconds):
                taught, said = self._teacher(batch.inputs), self.student(batch.inputs)
                lengths = None if self._lengths is None else taught[self._lengths]
                own = log_posteriors(said[self._output])
                count = float(own.shape[0] * own.shape[1] if lengths is None else lengths.sum())
                mean = divergence(log_posteriors(taught[self._output]), own, lengths)
                total, frames = total + mean.item() * count, frames + count
        found = total / frames
        self.history.append(
            {"step": self.step, "seconds": self.seconds, "loss": loss, "divergence": found}
        )
        if self.best is None or found <= self.best:
            self.best = found
            self._best_state = copy.deepcopy(self.student.state_dict())
        return found

    def _save(self) -> None:
        state = {
            "origin": self._origin,
            "student": self.student.state_dict(),
            "best_student": self._best_state,
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "first": self.first,
            "best": self.best,
        }
        save_state(self.folder, state, self.history)

    def _restore(self, state: Mapping[str, Any]) -> None:
        if state.get("origin") != self._origin:
            raise CheckpointError("it is of another model, plan or audio")
        self.student.load_state_dict(state["student"])
        self._best_state = dict(state["best_student"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.first, self.best = state["first"], state["best"]
        self.history = list(state["history"])
