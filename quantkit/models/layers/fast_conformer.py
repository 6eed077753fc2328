"""Parakeet's encoder, the FastConformer (Rekesh et al., "Fast Conformer with Linearly Scalable
Attention for Efficient Speech Recognition", 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantkit.models.layers.attention import Batch, merge, split
from quantkit.models.layers.clips import within
from quantkit.models.layers.conformer import (
    GatedConvolution,
    RelativePositions,
    by_distance,
)
from quantkit.models.layers.linear import Linear, scaled
from quantkit.models.layers.source import Source


class FastConformerEncoder(nn.Module):
    """(batch, frames, bands) → (batch, steps, width), and (batch,) valid steps.

    Args:
        source: a ``ParakeetEncoder``.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        config = source.config
        self.subsampling = Subsampling(source.subsampling, source.input_scale)
        self.encode_positions = RelativePositions(int(config.hidden_size))
        self.layers = nn.ModuleList(
            FastConformerLayer(layer, RelativeAttention(layer.self_attn)) for layer in source.layers
        )

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        lengths = torch.minimum(lengths, torch.tensor(features.shape[1]))
        hidden, steps = self.subsampling(features, lengths)
        longest = hidden.shape[1]
        batch = Batch.of(within(steps, longest), self.encode_positions(longest))
        return self._conformed(hidden, batch), steps

    def whole_clips(self, features: Tensor) -> Tensor:
        """The result for clips of one length, without a mask: (batch, steps, width)."""
        hidden = self.subsampling.whole_clips(features)
        return self._conformed(hidden, Batch.of_whole_clips(self.encode_positions(hidden.shape[1])))

    def _conformed(self, hidden: Tensor, batch: Batch) -> Tensor:
        for layer in self.layers:
            hidden = layer(hidden, batch)
        return hidden


class Subsampling(nn.Module):
    """Every convolution of a stride halves frames and bands; all but the first are depthwise.

    Args:
        scale: what the result is multiplied by, here as a part of the last product.
    """

    def __init__(self, source: Source, scale: float) -> None:
        super().__init__()
        self.layers = source.layers
        self.linear = Linear(scaled(source.linear, scale))

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        hidden = features[:, None]
        for layer in self.layers:
            is_strided = isinstance(layer, nn.Conv2d) and layer.stride[0] > 1
            if is_strided:
                # What lies behind a clip is the zero padding of a shorter one.
                inside = within(lengths, hidden.shape[2])[:, None, :, None]
                hidden = torch.where(inside, hidden, 0.0)
                lengths = _strided(lengths, layer)
            hidden = layer(hidden)
        return self._projected(hidden), lengths

    def whole_clips(self, features: Tensor) -> Tensor:
        """The result for clips of one length, without a mask."""
        hidden = features[:, None]
        for layer in self.layers:
            hidden = layer(hidden)
        return self._projected(hidden)

    def _projected(self, hidden: Tensor) -> Tensor:
        projected: Tensor = self.linear(hidden.transpose(1, 2).flatten(2))
        return projected


class FastConformerLayer(nn.Module):
    """A feed-forward, attention, convolution, a feed-forward, layer norm.

    Args:
        attention: takes (batch, steps, width) and the :class:`Batch`.
        feed_forward, convolution: what the input of such a part, and its result, count.
    """

    def __init__(
        self,
        source: Source,
        attention: nn.Module,
        feed_forward: tuple[float, float] = (1.0, 0.5),
        convolution: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        self.norm_feed_forward1, self.norm_self_att = (
            source.norm_feed_forward1,
            source.norm_self_att,
        )
        self.norm_conv, self.norm_feed_forward2 = source.norm_conv, source.norm_feed_forward2
        self.feed_forward1 = FeedForward(source.feed_forward1, feed_forward[1])
        self.self_attn = attention
        self.conv = GatedConvolution(source.conv, source.conv.norm)
        self.feed_forward2 = FeedForward(source.feed_forward2, feed_forward[1])
        self.norm_out = source.norm_out
        self.feed_forward_share, self.convolution_shares = feed_forward[0], convolution

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        fed, (kept, made) = self.feed_forward_share, self.convolution_shares
        hidden = _share(hidden, fed) + self.feed_forward1(self.norm_feed_forward1(hidden))
        hidden = hidden + self.self_attn(self.norm_self_att(hidden), batch)
        convolved = self.conv(self.norm_conv(hidden), batch.inside if batch.padded else None)
        hidden = _share(hidden, kept) + _share(convolved, made)
        hidden = _share(hidden, fed) + self.feed_forward2(self.norm_feed_forward2(hidden))
        normed: Tensor = self.norm_out(hidden)
        return normed


class FeedForward(nn.Module):
    """Two linear layers with an activation between them.

    Args:
        share: what the result is multiplied by, here as a part of the second layer.
    """

    def __init__(self, source: Source, share: float) -> None:
        super().__init__()
        self.linear1, self.activation = Linear(source.linear1), source.activation
        self.linear2 = Linear(scaled(source.linear2, share))

    def forward(self, hidden: Tensor) -> Tensor:
        projected: Tensor = self.linear2(self.activation(self.linear1(hidden)))
        return projected


class RelativeAttention(nn.Module):
    """Self-attention with relative positions (Transformer-XL, Dai et al., 2019, section 3.3).

    The scale of the scores is a part of the queries, where it costs nothing.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.heads, scale = int(source.bias_u.shape[0]), float(source.scaling)
        self.q_proj, self.k_proj = Linear(scaled(source.q_proj, scale)), Linear(source.k_proj)
        self.v_proj, self.o_proj = Linear(source.v_proj), Linear(source.o_proj)
        self.relative_k_proj = Linear(source.relative_k_proj)
        biases = (scale * each.detach()[None, :, None] for each in (source.bias_u, source.bias_v))
        self.bias_u, self.bias_v = (nn.Parameter(each, requires_grad=False) for each in biases)

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        query, key, value = (
            split(project(hidden), self.heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        distances = split(self.relative_k_proj(batch.positions), self.heads)
        bias = by_distance(torch.matmul(query + self.bias_v, distances.transpose(2, 3)))
        if batch.padded:
            bias = bias + batch.bias
        scores = torch.matmul(query + self.bias_u, key.transpose(2, 3)) + bias
        mixed: Tensor = self.o_proj(merge(torch.matmul(torch.softmax(scores, -1), value)))
        return mixed


def _strided(lengths: Tensor, layer: nn.Conv2d) -> Tensor:
    """Frames behind a convolution; 0 of 0."""
    stride, surplus = layer.stride[0], 2 * int(layer.padding[0]) - layer.kernel_size[0]
    # Not negative, so that rounding towards zero is rounding down.
    beyond = torch.clamp(lengths + (surplus + stride), min=0)
    return torch.div(beyond, stride, rounding_mode="floor")


def _share(hidden: Tensor, factor: float) -> Tensor:
    return hidden if factor == 1.0 else hidden * factor
