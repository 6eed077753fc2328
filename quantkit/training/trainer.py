"""Training of Wav2Letter with CTC or ASG; the weights or their moving average are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from quantkit.audio.frontend import Frontend
from quantkit.errors import InputError
from quantkit.models.checkpoint import save_wav2letter
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.decoders import greedy_decoder
from quantkit.text.labels import Labels
from quantkit.training.batching import Batch
from quantkit.training.criteria import criterion_of
from quantkit.training.recipe import Recipe
from quantkit.training.run import BEST_NAME
from quantkit.training.sequence_trainer import SequenceTrainer, TrainingData
from quantkit.training.validation import CER, ErrorRate


class Trainer(SequenceTrainer[Wav2Letter]):
    """One training run of a Wav2Letter; the validation error is a character error rate.

    Args:
        recipe, data, folder, device: see
            :class:`~quantkit.training.sequence_trainer.SequenceTrainer`.

    Raises:
        InputError: recipe and alphabet differ in the number of labels.
    """

    measure: ClassVar[str] = CER.name
    error_rate: ClassVar[ErrorRate] = CER
    nothing_to_train: ClassVar[str] = "no training clip is long enough for its transcript"

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        folder: Path,
        device: torch.device | None = None,
    ) -> None:
        model = recipe.model
        assert isinstance(model, Wav2LetterConfig)
        if model.labels != len(data.labels):
            raise InputError(
                f"the recipe's model has {model.labels} labels, the alphabet {len(data.labels)}"
            )
        self._criterion = criterion_of(data.labels)
        make_model = partial(self._criterion.make_model, model)
        super().__init__(recipe, make_model, data, folder, device)

    def warm_start(self, model: nn.Module, labels: Labels | None = None) -> None:
        """Start from the weights of another model of the same size.

        Args:
            labels: of that model, which may hold transitions.

        Raises:
            CheckpointError: it is of another size.
        """
        if isinstance(model, Wav2Letter):
            model = self._criterion.begun(model, labels)
        super().warm_start(model, labels)

    def _loss(self, batch: Batch) -> Tensor:
        """Loss of the criterion per label of the targets."""
        batch = batch.to(self.device)
        with self._autocast():
            log_probs, lengths = self.model(batch.features, batch.lengths)
        total = self._criterion.total(
            self.model, log_probs, lengths, batch.targets, batch.target_lengths
        )
        return total / max(1, int(batch.target_lengths.sum()))

    def _transcribe(self, batch: Batch) -> list[str]:
        features, lengths = batch.features.to(self.device), batch.lengths.to(self.device)
        model, labels = self._criterion.trained(self._kept)
        log_probs, lengths = model(features, lengths)
        decode = greedy_decoder(labels)
        every = log_probs.float().cpu().numpy()
        return [
            labels.decode(decode.labels_of(rows[:length]))
            for rows, length in zip(every, lengths.tolist(), strict=True)
        ]

    def _keep_best(self, figures: Mapping[str, object]) -> None:
        frontend = self._preparer.frontend
        assert isinstance(frontend, Frontend)
        model, labels = self._criterion.trained(self._kept)
        save_wav2letter(
            self.folder / BEST_NAME,
            model,
            labels,
            frontend,
            {
                "recipe": asdict(self.recipe),
                "step": self.step,
                "validation_cer": figures["cer"],
            },
        )
