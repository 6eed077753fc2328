"""Wav2Letter: eleven one-dimensional convolutions from features to letters.

Collobert, Puhrsch and Synnaeve, "Wav2Letter: an End-to-End ConvNet-based Speech Recognition
System", 2016, in the 40-feature variant of "Quantization of CNN-based Language Models".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from quantkit.models.dropout import Dropout


@dataclass(frozen=True)
class Wav2LetterConfig:
    """Size of a Wav2Letter. The defaults are the published 23,618,535 parameters.

    Args:
        features: bands per input frame.
        labels: output labels with the blank.
        width: channels of layers 1–8.
        head_width: channels of layers 9 and 10.
        dropout: probability after every layer but the last, while training.
        batch_norm: normalise after every convolution but the last; export folds it away.
    """

    features: int = 40
    labels: int = 35
    width: int = 250
    head_width: int = 2000
    dropout: float = 0.2
    batch_norm: bool = False


class Block(nn.Module):
    """Convolution, optional batch norm, ReLU, dropout."""

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: int,
        stride: int,
        padding: int,
        config: Wav2LetterConfig,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(*channels, kernel, stride=stride, padding=padding)
        self.norm: nn.Module = nn.BatchNorm1d(channels[1]) if config.batch_norm else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) → (batch, channels, frames)."""
        return cast(Tensor, self.dropout(torch.relu(self.norm(self.conv(x)))))


class Wav2Letter(nn.Module):
    """Features to per-frame label log-probabilities, two input frames to one output frame.

    Frames past the end of a clip are zeroed after every layer whose output a later layer could read
    there. Padding a batch is then the same as the convolutions' own zero padding, and a clip's
    output does not depend on which clips share its batch.
    """

    def __init__(self, config: Wav2LetterConfig) -> None:
        super().__init__()
        self.config = config
        width, head = config.width, config.head_width
        self.blocks = nn.ModuleList(
            [
                Block((config.features, width), 48, 2, 23, config),
                *(Block((width, width), 7, 1, 3, config) for _ in range(7)),
                Block((width, head), 32, 1, 16, config),
                Block((head, head), 1, 1, 0, config),
            ]
        )
        self.output = nn.Conv1d(head, config.labels, 1)

    @staticmethod
    def output_lengths(lengths: Tensor) -> Tensor:
        """Output frames of clips of ``lengths`` input frames: floor(T / 2) + 1."""
        return torch.div(lengths, 2, rounding_mode="floor") + 1

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of a padded batch.

        Args:
            features: (batch, frames, features).
            lengths: (batch,) int64, true frames of each clip.

        Returns:
            (batch, frames // 2 + 1, labels) log-probabilities, and (batch,) int64 valid frames.
        """
        # Layer 1 with an even kernel yields floor(T / 2) frames for even T, one fewer than
        # layer 9 adds back; `hidden` counts the frames between the two.
        hidden_lengths = torch.div(lengths, 2, rounding_mode="floor")
        x = features.transpose(1, 2)
        frame = torch.arange(features.shape[1], device=features.device)
        x = torch.where(frame < lengths[:, None, None], x, 0.0)
        inside: Tensor | None = None
        for block in self.blocks[:-2]:
            x = block(x)
            if inside is None:
                frame = torch.arange(x.shape[2], device=x.device)
                inside = frame < hidden_lengths[:, None, None]
            x = torch.where(inside, x, 0.0)
        for block in self.blocks[-2:]:
            x = block(x)
        logits = self.output(x).transpose(1, 2)
        return torch.log_softmax(logits.float(), dim=-1), self.output_lengths(lengths)
