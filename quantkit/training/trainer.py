"""Training of Wav2Letter with CTC; the weights or their moving average are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

from quantkit.audio.frontend import Frontend
from quantkit.errors import InputError
from quantkit.models.checkpoint import save_wav2letter
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.labels import Labels
from quantkit.training.batching import Batch
from quantkit.training.clips import ClipPreparer
from quantkit.training.mixture import Clip, Mixture
from quantkit.training.recipe import Recipe
from quantkit.training.run import BEST_NAME
from quantkit.training.sequence_trainer import SequenceTrainer
from quantkit.training.validation import CER, ErrorRate


class Trainer(SequenceTrainer[Wav2Letter]):
    """One training run of a Wav2Letter; the validation error is a character error rate.

    Args:
        recipe, mixture, validation, labels, preparer, folder, device: see
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
        mixture: Mixture,
        validation: Mapping[str, Sequence[Clip]],
        labels: Labels,
        preparer: ClipPreparer,
        folder: Path,
        device: torch.device | None = None,
    ) -> None:
        model = recipe.model
        assert isinstance(model, Wav2LetterConfig)
        if model.labels != len(labels):
            raise InputError(
                f"the recipe's model has {model.labels} labels, the alphabet {len(labels)}"
            )
        make_model = partial(Wav2Letter, model)
        super().__init__(recipe, make_model, mixture, validation, labels, preparer, folder, device)

    def _loss(self, batch: Batch) -> Tensor:
        """CTC loss per label of the targets."""
        batch = batch.to(self.device)
        with self._autocast():
            log_probs, lengths = self.model(batch.features, batch.lengths)
        total: Tensor = ctc_loss(
            log_probs.transpose(0, 1),
            batch.targets,
            lengths,
            batch.target_lengths,
            blank=self.labels.blank,
            reduction="sum",
            zero_infinity=True,
        )
        return total / max(1, int(batch.target_lengths.sum()))

    def _transcribe(self, batch: Batch) -> list[str]:
        features, lengths = batch.features.to(self.device), batch.lengths.to(self.device)
        log_probs, lengths = self._kept(features, lengths)
        texts = []
        for path, length in zip(log_probs.argmax(dim=-1).cpu(), lengths.tolist(), strict=True):
            collapsed = torch.unique_consecutive(path[:length]).tolist()
            texts.append(self.labels.decode([i for i in collapsed if i != self.labels.blank]))
        return texts

    def _keep_best(self, figures: Mapping[str, object]) -> None:
        frontend = self._preparer.frontend
        assert isinstance(frontend, Frontend)
        save_wav2letter(
            self.folder / BEST_NAME,
            self._kept,
            self.labels,
            frontend,
            {
                "recipe": asdict(self.recipe),
                "step": self.step,
                "validation_cer": figures["cer"],
            },
        )
