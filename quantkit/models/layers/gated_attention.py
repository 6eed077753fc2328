"""Self-attention with a gated bias for the distance of two frames (Chen et al., "WavLM", 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantkit.models.layers.attention import Batch, attend, merge, split
from quantkit.models.layers.linear import Linear
from quantkit.models.layers.source import Source


class GatedAttention(nn.Module):
    """Scaled dot products plus the :class:`DistanceBias`, times a gate of each query.

    Args:
        source: a ``WavLMAttention``.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.heads = source.num_heads
        self.q_proj, self.k_proj = Linear(source.q_proj), Linear(source.k_proj)
        self.v_proj, self.out_proj = Linear(source.v_proj), Linear(source.out_proj)
        self.gru_rel_pos_linear = Linear(_summed(source.gru_rel_pos_linear))
        self.gru_rel_pos_const = source.gru_rel_pos_const

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        query, key = split(self.q_proj(hidden), self.heads), split(self.k_proj(hidden), self.heads)
        value = split(self.v_proj(hidden), self.heads)
        gates = torch.sigmoid(self.gru_rel_pos_linear(split(hidden, self.heads)))
        update, reset = gates.chunk(2, dim=3)
        gate = update * (reset * self.gru_rel_pos_const - 1.0) + 2.0
        bias = batch.bias if batch.positions is None else batch.bias + gate * batch.positions
        mixed: Tensor = self.out_proj(merge(attend(query, key, value, bias)))
        return mixed


class DistanceBias(nn.Module):
    """Every head's bias for the distance of a key from its query: (1, heads, frames, frames).

    Larger distances share biases, up to the largest. The assignment is a table here, because a
    logarithm that rounds differently would change it.

    Args:
        source: the first layer's ``WavLMAttention``, whose biases all layers use.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.farthest = int(source.max_distance)
        distances = torch.arange(-self.farthest, self.farthest + 1)
        buckets = source._relative_positions_bucket(distances)
        self.weight = nn.Parameter(source.rel_attn_embed.weight.detach()[buckets], False)

    def forward(self, frames: int) -> Tensor:
        place = torch.arange(frames)
        distance = (place[None, :] - place[:, None]).clamp(-self.farthest, self.farthest)
        biases = nn.functional.embedding(distance + self.farthest, self.weight)
        return biases.permute(2, 0, 1)[None]


def _summed(linear: nn.Linear) -> nn.Linear:
    """The layer whose two outputs are the sums of the first and the last four of ``linear``'s."""
    summed = nn.Linear(linear.in_features, 2, device="meta")
    weight = linear.weight.detach().reshape(2, 4, -1).sum(1)
    bias = linear.bias.detach().reshape(2, 4).sum(1)
    summed.weight, summed.bias = (nn.Parameter(x, requires_grad=False) for x in (weight, bias))
    return summed
