"""Training of a wav2vec 2.0: first a teacher's hidden states, then CTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.optim import Optimizer

from quantkit.errors import CheckpointError
from quantkit.text.decoders import greedy_decoder
from quantkit.text.labels import Labels
from quantkit.training.batching import Batch
from quantkit.training.criteria import ctc_total
from quantkit.training.optimizers import Schedule
from quantkit.training.recipe import OptimizerSettings, Recipe
from quantkit.training.run import BEST_NAME
from quantkit.training.sequence_trainer import SequenceTrainer, TrainingData
from quantkit.training.validation import WER, ErrorRate
from quantkit.training.wav2vec2.checkpoint import save_wav2vec2
from quantkit.training.wav2vec2.clips import TaughtBatch
from quantkit.training.wav2vec2.model import Pupil, new_wav2vec2, take_convolutions
from quantkit.training.wav2vec2.settings import Wav2Vec2Settings
from quantkit.training.wav2vec2.teacher import Teacher, load_teacher


class Wav2Vec2Trainer(SequenceTrainer[Pupil]):
    """One training run; the validation error is a word error rate.

    ``best/`` contains the weights that are kept, in the format of ``transformers``.

    Args:
        recipe, data, folder, device: see
            :class:`~quantkit.training.sequence_trainer.SequenceTrainer`.

    Raises:
        CheckpointError: the recipe's teacher is not a checkpoint, or its convolutions do not fit.
    """

    measure: ClassVar[str] = WER.name
    error_rate: ClassVar[ErrorRate] = WER
    nothing_to_train: ClassVar[str] = "no training clip is long enough for its transcript"

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        folder: Path,
        device: torch.device | None = None,
    ) -> None:
        settings = recipe.model
        assert isinstance(settings, Wav2Vec2Settings)
        teacher: Teacher | None = None
        if recipe.teacher is not None:
            teacher = load_teacher(Path(recipe.teacher.checkpoint))

        def make_model() -> Pupil:
            assert isinstance(settings, Wav2Vec2Settings)
            model = new_wav2vec2(settings, data.labels)
            if recipe.convolutions:
                take_convolutions(model, Path(recipe.convolutions))
            return Pupil(model, settings, 0 if teacher is None else teacher.width)

        super().__init__(recipe, make_model, data, folder, device)
        self._teacher = teacher
        if teacher is not None:
            teacher.to(self.device)
            self.schedule = TwoCycles(self.optimizer, recipe.optimizer, recipe.steps, self._taught)

    def warm_start(self, model: nn.Module, labels: Labels | None = None) -> None:
        """Start from the weights of another model of the same size.

        Raises:
            CheckpointError: it is of another size.
        """
        try:
            self.model.ctc.load_state_dict(model.state_dict())
        except RuntimeError as error:
            raise CheckpointError(f"weights to start from do not fit the recipe: {error}") from None
        self._average = self._new_average()

    @property
    def _taught(self) -> int:
        """Steps whose loss is the distance from the teacher."""
        return 0 if self.recipe.teacher is None else self.recipe.teacher.steps

    def _train_mode(self) -> None:
        super()._train_mode()
        # In training mode it would compute the gradient of the waveform, which is not needed.
        self.model.ctc.wav2vec2.feature_extractor.eval()

    def _loss(self, batch: Batch) -> Tensor:
        """Distance from the teacher, or CTC's loss per label of the targets."""
        batch = batch.to(self.device)
        with self._autocast():
            hidden, frames = self.model.hidden(batch.features, batch.lengths)
            if self.step < self._taught:
                assert isinstance(batch, TaughtBatch)
                return self._distance(batch, hidden, frames)
            log_probs = self.model.log_probs(hidden)
        total = ctc_total(log_probs, frames, batch.targets, batch.target_lengths, self.labels.blank)
        return total / max(1, int(batch.target_lengths.sum()))

    def _distance(self, batch: TaughtBatch, hidden: Tensor, frames: Tensor) -> Tensor:
        """Of predicted states per number, and of posteriors per frame where labels are alike."""
        teacher = self._teacher
        assert teacher is not None
        taught = teacher(batch.whole, batch.lengths)
        wanted = self.model.at_frames(taught, hidden.shape[1], teacher.hop, teacher.centre)
        distance = self.model.distance(hidden, frames, wanted)
        if teacher.labels.tokens == self.labels.tokens:
            logits = linear(wanted, *teacher.output)
            distance = distance + self.model.divergence(hidden, frames, logits)
        return distance

    def _transcribe(self, batch: Batch) -> list[str]:
        decode = greedy_decoder(self.labels)
        texts = []
        # Alone, as in use: the norm of the first layer is taken over all of a batch's samples.
        for clip, length in zip(batch.features, batch.lengths, strict=True):
            waveform = clip[None, : int(length)].to(self.device)
            hidden, _ = self._kept.hidden(waveform, length[None].to(self.device))
            rows = self._kept.log_probs(hidden)[0].cpu().numpy()
            texts.append(self.labels.decode(decode.labels_of(rows)))
        return texts

    def _keep_best(self, figures: Mapping[str, object]) -> None:
        save_wav2vec2(
            self.folder / BEST_NAME,
            self._kept.ctc,
            self.labels,
            self._preparer.frontend.sample_rate,
            {
                "recipe": self._recipe_in_card(),
                "step": self.step,
                "validation_wer": figures["wer"],
            },
        )

    def _recipe_in_card(self) -> dict[str, Any]:
        """The recipe, with names of other checkpoints instead of their places."""
        teacher, convolutions = self.recipe.teacher, self.recipe.convolutions
        if teacher is not None:
            teacher = replace(teacher, checkpoint=_name_of(teacher.checkpoint))
        if convolutions:
            convolutions = _name_of(convolutions)
        return asdict(replace(self.recipe, teacher=teacher, convolutions=convolutions))


class TwoCycles(Schedule):
    """A one-cycle rate for the steps that are taught, and another for the others.

    Args:
        optimizer, settings, steps: see :class:`~quantkit.training.optimizers.Schedule`.
        taught: how many steps are.
    """

    def __init__(
        self, optimizer: Optimizer, settings: OptimizerSettings, steps: int, taught: int
    ) -> None:
        super().__init__(optimizer, settings, steps)
        self._first = taught

    def before_step(self, step: int) -> None:
        """See :meth:`~quantkit.training.optimizers.Schedule.before_step`."""
        self.set_share(
            step / self._first
            if step < self._first
            else (step - self._first) / max(1, self._steps - self._first)
        )


def _name_of(checkpoint: str) -> str:
    return Path(checkpoint).resolve().name
