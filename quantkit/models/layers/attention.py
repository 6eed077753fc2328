"""Self-attention of a padded batch (Vaswani et al., "Attention Is All You Need", 2017)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from quantkit.models.layers.linear import Linear
from quantkit.models.layers.source import Source

# Added to the scores of keys past a clip's end: its exponential is zero, but finite values avoid
# NaN for a clip without frames.
_NEVER = -1e9


class Batch(NamedTuple):
    """Data of a batch that all layers of an encoder use.

    Args:
        inside: (batch, frames, 1), true before the end of each clip.
        bias: (batch, 1, 1, frames), to be added to attention scores.
        positions: position embeddings for the number of frames.
        padded: whether clips may be shorter than the batch; otherwise nothing is masked, and
            ``inside`` and ``bias`` are empty.
    """

    inside: Tensor
    bias: Tensor
    positions: Tensor | None = None
    padded: bool = True

    @classmethod
    def of(cls, inside: Tensor, positions: Tensor | None = None) -> Batch:
        """A batch of clips with the mask ``inside``, (batch, frames)."""
        bias = torch.where(inside, 0.0, _NEVER)[:, None, None, :]
        return cls(inside[:, :, None], bias, positions)

    @classmethod
    def of_whole_clips(cls, positions: Tensor) -> Batch:
        """Clips of one length."""
        return cls(torch.empty(0), torch.empty(0), positions, padded=False)


class SelfAttention(nn.Module):
    """Scaled dot products over the frames of each clip."""

    def __init__(self, source: Source, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = Linear(source.q_proj), Linear(source.k_proj)
        self.v_proj, self.out_proj = Linear(source.v_proj), Linear(source.out_proj)

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        query, key = split(self.q_proj(hidden), self.heads), split(self.k_proj(hidden), self.heads)
        value = split(self.v_proj(hidden), self.heads)
        mixed: Tensor = self.out_proj(merge(attend(query, key, value, batch.bias)))
        return mixed


def split(hidden: Tensor, heads: int) -> Tensor:
    """(batch, frames, width) → (batch, heads, frames, width of a head)."""
    size = hidden.shape[2] // heads
    return hidden.reshape(*hidden.shape[:2], heads, size).transpose(1, 2)


def merge(hidden: Tensor) -> Tensor:
    """Inverse of :func:`split`."""
    return hidden.transpose(1, 2).flatten(2)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """The values, weighted by ``softmax(query · key / √size + bias)``; all per head."""
    scores = torch.matmul(query, key.transpose(2, 3)) * query.shape[-1] ** -0.5
    return torch.matmul(torch.softmax(scores + bias, -1), value)
