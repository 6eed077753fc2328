"""LASR's encoder (Google, 2025): a Conformer with rotary positions behind strided convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from quantkit.models.layers.attention import Batch, merge, split
from quantkit.models.layers.clips import frames_after, within
from quantkit.models.layers.fast_conformer import FastConformerLayer
from quantkit.models.layers.linear import Linear, scaled
from quantkit.models.layers.rotary import RotaryAngles, turned
from quantkit.models.layers.source import Source


class LasrEncoder(nn.Module):
    """(batch, frames, bands) → (batch, steps, width), and (batch,) valid steps.

    Args:
        source: a ``LasrEncoder`` of ``transformers``.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        config = source.config
        self.subsampler = LasrSubsampling(source.subsampler)
        self.rotary_emb = RotaryAngles(source.rotary_emb)
        feed_forward, convolution = (
            (float(kept), float(made))
            for kept, made in (config.feed_forward_residual_weights, config.conv_residual_weights)
        )
        self.layers = nn.ModuleList(
            FastConformerLayer(layer, RotaryAttention(layer.self_attn), feed_forward, convolution)
            for layer in source.layers
        )
        self.out_norm = source.out_norm

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        lengths = torch.minimum(lengths, torch.tensor(features.shape[1]))
        hidden, steps = self.subsampler(features), self.subsampler.steps(lengths)
        longest = hidden.shape[1]
        turns = self.rotary_emb(torch.arange(longest))
        batch = Batch.of(within(steps, longest), torch.stack(turns))
        for layer in self.layers:
            hidden = layer(hidden, batch)
        return self.out_norm(hidden), steps


class LasrSubsampling(nn.Module):
    """Two convolutions of a stride between linear layers.

    None of them is padded, so steps of a clip depend on its own frames only.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.dense_0, self.dense_1 = Linear(source.dense_0), Linear(source.dense_1)
        self.conv_0, self.conv_1 = source.conv_0, source.conv_1

    def forward(self, features: Tensor) -> Tensor:
        hidden = functional.relu(self.dense_0(features)).transpose(1, 2)
        hidden = functional.relu(self.conv_1(functional.relu(self.conv_0(hidden))))
        result: Tensor = self.dense_1(hidden.transpose(1, 2))
        return result

    def steps(self, lengths: Tensor) -> Tensor:
        """Of clips of so many frames; 0 for one that is too short."""
        convolutions = (self.conv_0, self.conv_1)
        return frames_after(
            lengths,
            [each.kernel_size[0] for each in convolutions],
            [each.stride[0] for each in convolutions],
        )


class RotaryAttention(nn.Module):
    """Self-attention with rotary positions, ``batch.positions`` (2, steps, pairs).

    The scale of the scores is a part of the queries, where it costs nothing.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.heads = source.q_proj.out_features // int(source.head_dim)
        self.q_proj = Linear(scaled(source.q_proj, float(source.scaling)))
        self.k_proj, self.v_proj = Linear(source.k_proj), Linear(source.v_proj)
        self.o_proj = Linear(source.o_proj)

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        query, key, value = (
            split(project(hidden), self.heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        assert batch.positions is not None
        turns = batch.positions[0], batch.positions[1]
        query, key = turned(query, turns), turned(key, turns)
        scores = torch.matmul(query, key.transpose(2, 3)) + batch.bias
        mixed: Tensor = self.o_proj(merge(torch.matmul(torch.softmax(scores, -1), value)))
        return mixed
