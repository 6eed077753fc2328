"""Whose hidden states a wav2vec 2.0 learns to predict."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from quantkit.arrays import FloatArray
from quantkit.audio.frontend import Frontend
from quantkit.models.checkpoint import load_wav2letter
from quantkit.models.wav2letter import Wav2Letter
from quantkit.text.labels import Labels
from quantkit.training.batching import collate


class Teacher(Protocol):
    """A model that is not trained.

    Args:
        width: of its hidden states.
        hop: samples from one of its frames to the next.
        centre: samples up to the middle of the first.
        labels: that it writes.
        output: weight (labels, width) and bias (labels,) of its last layer, which makes them of
            hidden states.
    """

    width: int
    hop: int
    centre: int
    labels: Labels
    output: tuple[Tensor, Tensor]

    def to(self, device: torch.device) -> None:
        """Move it there."""

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, width).

        Args:
            waveforms: (batch, samples) in [-1, 1].
            lengths: (batch,) true samples.
        """


class Wav2LetterTeacher:
    """The last hidden layer of a Wav2Letter.

    Args:
        model: in evaluation mode.
        labels, frontend: its own.
    """

    def __init__(self, model: Wav2Letter, labels: Labels, frontend: Frontend) -> None:
        self.width = model.config.head_width
        # Its first layer takes two frames at a time.
        self.hop = 2 * frontend.hop
        self.centre = (frontend.window + frontend.hop) // 2
        self.labels = labels
        self.output = (
            model.output.weight.detach()[:, :, 0],
            cast(Tensor, model.output.bias).detach(),
        )
        self._model = model.requires_grad_(False)
        self._frontend = frontend
        self._states = Tensor()
        last: nn.Module = model.blocks[-1]
        last.register_forward_hook(self._keep)

    def to(self, device: torch.device) -> None:
        """See :class:`Teacher`."""
        self._model.to(device)
        weight, bias = self.output
        self.output = weight.to(device), bias.to(device)

    def _keep(self, module: nn.Module, inputs: object, states: Tensor) -> None:
        self._states = states

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """See :class:`Teacher`."""
        clips = zip(waveforms.cpu().numpy(), lengths.tolist(), strict=True)
        features = [self._features(clip[:length]) for clip, length in clips]
        batch = collate(features, [[]] * len(features))
        with torch.no_grad():
            self._model(batch.features.to(waveforms.device), batch.lengths.to(waveforms.device))
        return self._states.float().transpose(1, 2)

    def _features(self, clip: FloatArray) -> FloatArray:
        shortfall = max(0, self._frontend.window - clip.size)
        return self._frontend(np.pad(clip, (0, shortfall)))


def load_teacher(checkpoint: Path) -> Teacher:
    """The teacher in a folder.

    Raises:
        CheckpointError: it holds no model that can teach.
    """
    found = load_wav2letter(checkpoint)
    return Wav2LetterTeacher(found.model, found.labels, found.frontend)
