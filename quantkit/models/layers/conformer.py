"""Conformer layers (Gulati et al., "Conformer: Convolution-augmented Transformer for Speech
Recognition", 2020) with relative, rotary or no position embeddings.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from quantkit.models.batch_norm import fold_pair
from quantkit.models.layers.attention import Batch, attend, merge, split
from quantkit.models.layers.linear import Linear
from quantkit.models.layers.source import Source
from quantkit.models.layers.transformer import FeedForward


class ConformerEncoder(nn.Module):
    """See :class:`~quantkit.models.layers.transformer.TransformerEncoder`.

    W2v-BERT has no layer norm behind the last layer.
    """

    def __init__(self, source: Source, heads: int, positions: nn.Module | None) -> None:
        super().__init__()
        self.embed_positions = positions
        self.layers = nn.ModuleList(ConformerLayer(layer, heads) for layer in source.layers)
        self.layer_norm = getattr(source, "layer_norm", None)

    def forward(self, hidden: Tensor, inside: Tensor) -> tuple[list[Tensor], Tensor]:
        frames = hidden.shape[1]
        positions = None if self.embed_positions is None else self.embed_positions(frames)
        batch = Batch.of(inside, positions)
        states = [hidden]
        for layer in self.layers:
            states.append(layer(states[-1], batch))
        return states, states[-1] if self.layer_norm is None else self.layer_norm(states[-1])


class ConformerLayer(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, layer norm."""

    def __init__(self, source: Source, heads: int) -> None:
        super().__init__()
        self.ffn1_layer_norm, self.ffn1 = source.ffn1_layer_norm, FeedForward(source.ffn1)
        self.self_attn_layer_norm = source.self_attn_layer_norm
        self.self_attn = ConformerAttention(source.self_attn, heads)
        is_causal = hasattr(source.conv_module, "depthwise_layer_norm")
        kind = CausalConvolutionModule if is_causal else ConvolutionModule
        self.conv_module = kind(source.conv_module)
        self.ffn2_layer_norm, self.ffn2 = source.ffn2_layer_norm, FeedForward(source.ffn2)
        self.final_layer_norm = source.final_layer_norm

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        hidden = self.ffn1(self.ffn1_layer_norm(hidden)) * 0.5 + hidden
        hidden = self.self_attn(self.self_attn_layer_norm(hidden), batch) + hidden
        hidden = hidden + self.conv_module(hidden, batch.inside)
        hidden = self.ffn2(self.ffn2_layer_norm(hidden)) * 0.5 + hidden
        normed: Tensor = self.final_layer_norm(hidden)
        return normed


class GatedConvolution(nn.Module):
    """Gated pointwise convolution, depthwise convolution, batch norm, pointwise convolution.

    The pointwise ones are matrix products, and batch norm is folded into the depthwise one. In
    ``transformers`` the depthwise one may read what earlier layers computed from the padding.

    Args:
        source: has the convolutions and their ``activation``.
        batch_norm: behind the depthwise one.
    """

    def __init__(self, source: Source, batch_norm: nn.BatchNorm1d) -> None:
        super().__init__()
        self.pointwise_conv1 = Linear(pointwise(source.pointwise_conv1))
        self.depthwise_conv = with_batch_norm(source.depthwise_conv, batch_norm)
        self.activation = source.activation
        self.pointwise_conv2 = Linear(pointwise(source.pointwise_conv2))

    def forward(self, hidden: Tensor, inside: Tensor | None) -> Tensor:
        value, gate = self.pointwise_conv1(hidden).chunk(2, dim=2)
        gated = value * torch.sigmoid(gate)
        if inside is not None:
            gated = torch.where(inside, gated, 0.0)
        seen = self.activation(self.depthwise_conv(gated.transpose(1, 2)))
        mixed: Tensor = self.pointwise_conv2(seen.transpose(1, 2))
        return mixed


class ConvolutionModule(GatedConvolution):
    """The same behind a layer norm."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, source.batch_norm)
        self.layer_norm = source.layer_norm

    def forward(self, hidden: Tensor, inside: Tensor | None) -> Tensor:
        return super().forward(self.layer_norm(hidden), inside)


class CausalConvolutionModule(nn.Module):
    """W2v-BERT's: the depthwise convolution sees no later frames, and layer norm follows it."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.layer_norm = source.layer_norm
        self.pointwise_conv1 = Linear(pointwise(source.pointwise_conv1))
        self.depthwise_conv = source.depthwise_conv
        self.depthwise_layer_norm = source.depthwise_layer_norm
        self.activation = source.activation
        self.pointwise_conv2 = Linear(pointwise(source.pointwise_conv2))

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        value, gate = self.pointwise_conv1(self.layer_norm(hidden)).chunk(2, dim=2)
        gated = (value * torch.sigmoid(gate)).transpose(1, 2)
        before = self.depthwise_conv.kernel_size[0] - 1
        seen = self.depthwise_conv(nn.functional.pad(gated, (before, 0)))
        normed = self.depthwise_layer_norm(seen.transpose(1, 2))
        mixed: Tensor = self.pointwise_conv2(self.activation(normed))
        return mixed


class ConformerAttention(nn.Module):
    """Self-attention with relative positions."""

    def __init__(self, source: Source, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.kind = source.position_embeddings_type
        self.linear_q, self.linear_k = Linear(source.linear_q), Linear(source.linear_k)
        self.linear_v, self.linear_out = Linear(source.linear_v), Linear(source.linear_out)
        if self.kind == "relative":
            self.linear_pos = Linear(source.linear_pos)
            self.pos_bias_u, self.pos_bias_v = source.pos_bias_u, source.pos_bias_v
        elif self.kind == "relative_key":
            # A product, so that it has the kernels of one.
            self.distance_embedding = Linear(_as_linear(source.distance_embedding.weight))
            self.farthest = (
                source.left_max_position_embeddings,
                source.right_max_position_embeddings,
            )

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        turned = hidden
        if self.kind == "rotary" and batch.positions is not None:
            turned = _rotated(hidden, batch.positions, self.heads)
        query, key = (
            split(linear(turned), self.heads) for linear in (self.linear_q, self.linear_k)
        )
        value, bias = split(self.linear_v(hidden), self.heads), batch.bias
        if self.kind == "relative" and batch.positions is not None:
            distances = split(self.linear_pos(batch.positions), self.heads)
            biased = query + self.pos_bias_v[None, :, None, :]
            scores = torch.matmul(biased, distances.transpose(2, 3)) * query.shape[-1] ** -0.5
            bias = bias + by_distance(scores)
            query = query + self.pos_bias_u[None, :, None, :]
        elif self.kind == "relative_key":
            bias = bias + self._by_nearness(query)
        mixed: Tensor = self.linear_out(merge(attend(query, key, value, bias)))
        return mixed

    def _by_nearness(self, query: Tensor) -> Tensor:
        """As :func:`by_distance`, of embeddings that all farther distances share (Shaw et al.,
        "Self-Attention with Relative Position Representations", 2018)."""
        frames, (left, right) = query.shape[2], self.farthest
        distance = torch.arange(2 * frames - 1) - (frames - 1)
        scores = self.distance_embedding(query) * query.shape[-1] ** -0.5
        return by_distance(scores.index_select(3, distance.clamp(-left, right) + left))


def by_distance(scores: Tensor) -> Tensor:
    """(batch, heads, frames, frames): of each query and key, the score of their distance.

    Transformer-XL (Dai et al., 2019), appendix B: the scores of all distances with row i shifted
    by i.

    Args:
        scores: (batch, heads, frames, 2 · frames − 1), starting with the farthest to the left.
    """
    clips, heads, frames, count = scores.shape
    skewed = nn.functional.pad(scores, (1, 0)).reshape(clips, heads, count + 1, frames)
    return skewed[:, :, 1:].reshape(clips, heads, frames, count)[..., :frames]


class RelativePositions(nn.Module):
    """Sines and cosines of every distance between two frames, computed instead of stored.

    (1, 2 · frames − 1, width), starting with the farthest to the left.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        steps = torch.arange(0, width, 2).float() * -(math.log(10_000.0) / width)
        self.register_buffer("frequencies", torch.exp(steps))

    def forward(self, frames: int) -> Tensor:
        distance = (frames - 1 - torch.arange(2 * frames - 1)).float()
        angle = distance[:, None] * self.frequencies
        return torch.stack((torch.sin(angle), torch.cos(angle)), dim=2).flatten(1)[None]


class RotaryPositions(nn.Module):
    """Cosines and sines of every frame's angles (Su et al., "RoFormer", 2021).

    (2, 1, frames, 1, width of a head).
    """

    frequencies: Tensor

    def __init__(self, frequencies: Tensor) -> None:
        super().__init__()
        self.register_buffer("frequencies", frequencies)

    def forward(self, frames: int) -> Tensor:
        angle = torch.arange(frames).float()[:, None] * self.frequencies
        angle = torch.cat((angle, angle), dim=1)
        return torch.stack((torch.cos(angle), torch.sin(angle)))[:, None, :, None, :]


def _rotated(hidden: Tensor, positions: Tensor, heads: int) -> Tensor:
    by_head = hidden.reshape(*hidden.shape[:2], heads, hidden.shape[2] // heads)
    first, second = by_head.chunk(2, dim=3)
    turned = by_head * positions[0] + torch.cat((-second, first), dim=3) * positions[1]
    return turned.flatten(2)


def _as_linear(rows: Tensor) -> nn.Linear:
    """The layer that multiplies by each of ``rows``; it shares them."""
    linear = nn.Linear(rows.shape[1], rows.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(rows.detach(), requires_grad=False)
    return linear


def pointwise(conv: nn.Conv1d) -> nn.Linear:
    """The linear layer equal to ``conv`` with a kernel of one; it shares the weight."""
    linear = nn.Linear(conv.in_channels, conv.out_channels, conv.bias is not None, device="meta")
    linear.weight = nn.Parameter(conv.weight.detach()[:, :, 0], requires_grad=False)
    if conv.bias is not None:
        linear.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
    return linear


def with_batch_norm(conv: nn.Conv1d, norm: nn.BatchNorm1d) -> nn.Conv1d:
    """The one convolution that equals ``norm(conv(x))`` in evaluation mode."""
    weight, bias = fold_pair(conv, norm)
    folded = nn.Conv1d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size[0],
        # By name where it is that of the kernel's own size.
        padding=conv.padding if isinstance(conv.padding, str) else conv.padding[0],
        groups=conv.groups,
        device="meta",
    )
    folded.weight, folded.bias = (nn.Parameter(x, requires_grad=False) for x in (weight, bias))
    return folded
