"""Training of RNN-T and TDT; the weights or their moving average are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.runtime.transducer.search import greedy_path, labels_of
from quantkit.text.labels import Labels
from quantkit.training.batching import Batch
from quantkit.training.recipe import Recipe
from quantkit.training.run import BEST_NAME
from quantkit.training.sequence_trainer import SequenceTrainer, TrainingData
from quantkit.training.transducers.checkpoint import save_trained_transducer
from quantkit.training.transducers.losses import transducer_loss
from quantkit.training.transducers.model import (
    joint_logits,
    new_transducer,
    with_outputs_of,
)
from quantkit.training.transducers.network import TorchNetwork
from quantkit.training.transducers.settings import RnntSettings
from quantkit.training.validation import WER, ErrorRate


class TransducerTrainer(SequenceTrainer[PreTrainedModel]):
    """One training run; the validation error is a word error rate.

    ``best/`` contains the weights that are kept, in the format of ``transformers``.

    Args:
        recipe, data, folder, device: see
            :class:`~quantkit.training.sequence_trainer.SequenceTrainer`.
    """

    measure: ClassVar[str] = WER.name
    error_rate: ClassVar[ErrorRate] = WER
    nothing_to_train: ClassVar[str] = "there is no clip to train on"

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        folder: Path,
        device: torch.device | None = None,
    ) -> None:
        assert isinstance(recipe.model, RnntSettings)
        make_model = partial(new_transducer, recipe.model, data.labels)
        super().__init__(recipe, make_model, data, folder, device)

    def warm_start(self, model: nn.Module, labels: Labels | None = None) -> None:
        """Start from the weights of another model of the same size, RNN-T or TDT.

        Raises:
            CheckpointError: it is of another size.
        """
        super().warm_start(with_outputs_of(self.model, model), labels)

    def _loss(self, batch: Batch) -> Tensor:
        """Transducer loss per label of the targets."""
        batch = batch.to(self.device)
        targets = pad_sequence(
            [*batch.targets.split(batch.target_lengths.tolist())],
            batch_first=True,
            padding_value=self.labels.blank,
        )
        with self._autocast():
            logits, steps = joint_logits(self.model, batch.features, batch.lengths, targets)
        return transducer_loss(self.model, logits, steps, targets, batch.target_lengths)

    def _transcribe(self, batch: Batch) -> list[str]:
        network, labels = TorchNetwork(self._kept), self.labels
        heard = network.encode(batch.features.to(self.device), batch.lengths.to(self.device))
        paths = (greedy_path(network, encoded, len(labels), labels.blank) for encoded in heard)
        return [labels.decode(labels_of(path, labels.blank)["label"].tolist()) for path in paths]

    def _keep_best(self, figures: Mapping[str, object]) -> None:
        frontend = self._preparer.frontend
        assert isinstance(frontend, NemoFrontend)
        save_trained_transducer(
            self.folder / BEST_NAME,
            self._kept,
            self.labels,
            frontend,
            {
                "recipe": asdict(self.recipe),
                "step": self.step,
                "validation_wer": figures["wer"],
            },
        )
