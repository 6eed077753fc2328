"""Which part of a padded batch is audio."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Added to the variance of a waveform by transformers.
_VARIANCE_FLOOR = 1e-7


def within(lengths: Tensor, longest: int) -> Tensor:
    """(batch, longest), true before the end of each clip; ``lengths`` is (batch,)."""
    positions = torch.arange(longest, device=lengths.device)
    return positions[None, :] < lengths[:, None]


def frames_after(lengths: Tensor, kernels: Sequence[int], strides: Sequence[int]) -> Tensor:
    """Output frames of convolutions without padding for clips of ``lengths`` samples."""
    for kernel, stride in zip(kernels, strides, strict=True):
        # Not negative, so that rounding towards zero is rounding down.
        beyond = torch.clamp(lengths - (kernel - stride), min=0)
        lengths = torch.div(beyond, stride, rounding_mode="floor")
    return lengths


class Standardization(nn.Module):
    """Mean 0 and variance 1 over each clip's own samples, zeros past its end.

    As ``Wav2Vec2FeatureExtractor`` with ``do_normalize``; without ``scaled`` only the zeroing.
    """

    def __init__(self, *, scaled: bool) -> None:
        super().__init__()
        self.scaled = scaled

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        inside = within(lengths, waveform.shape[1])
        if not self.scaled:
            return torch.where(inside, waveform, 0.0)
        count = lengths.clamp(min=1)[:, None].float()
        mean = torch.where(inside, waveform, 0.0).sum(1, keepdim=True) / count
        centred = torch.where(inside, waveform - mean, 0.0)
        variance = (centred * centred).sum(1, keepdim=True) / count
        return centred / torch.sqrt(variance + _VARIANCE_FLOOR)
