"""The cache-aware FastConformer (Noroozi et al., "Stateful Conformer with Cache-based Inference for
Streaming Automatic Speech Recognition", 2024) of Nemotron, chunk by chunk, with what it needs of
the chunks before as states.

An encoder's step t sees the features up to frame f t, f being the subsampling factor, and attends
to the steps of its own chunk and of as many whole chunks before as its left context holds. So a
chunk of n steps is n f frames, of which the first f − 1 of all stand before the clip. What stands
before a clip or behind it is zero in front of every strided convolution, as the padding of a whole
clip is, and masked in the attention: a clip gets the same numbers in chunks as at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from quantkit.models.layers.attention import merge, split
from quantkit.models.layers.conformer import RelativePositions, pointwise
from quantkit.models.layers.decoding import UNSEEN
from quantkit.models.layers.fast_conformer import FeedForward
from quantkit.models.layers.linear import Linear, scaled
from quantkit.models.layers.source import Source


@dataclass(frozen=True)
class Sizes:
    """Of the encoder, and of its chunks.

    Args:
        factor: frames for a step; a power of two.
        steps: of a chunk.
        before: steps of the chunks before that attention sees.
        width, heads: of a layer.
        taps: of its depthwise convolution.
        bands: of the features, and behind each strided convolution but the last.
        channels: of the strided convolutions.
        layers: how many there are.
    """

    factor: int
    steps: int
    before: int
    width: int
    heads: int
    taps: int
    bands: tuple[int, ...]
    channels: int
    layers: int

    @classmethod
    def of(cls, config: Source, steps: int) -> Sizes:
        """Those of a ``NemotronAsrStreamingEncoderConfig``, for chunks of so many steps."""
        factor, left = int(config.subsampling_factor), int(config.sliding_window) - 1
        bands = [int(config.num_mel_bins)]
        while 1 << len(bands) < factor:
            # Three taps go on by two, with two zeros in front and one behind.
            bands.append(bands[-1] // 2 + 1)
        return cls(
            factor,
            steps,
            left // steps * steps,
            int(config.hidden_size),
            int(config.num_attention_heads),
            int(config.conv_kernel_size),
            tuple(bands),
            int(config.subsampling_conv_channels),
            int(config.num_hidden_layers),
        )

    @property
    def frames(self) -> int:
        """Of a chunk."""
        return self.steps * self.factor

    @property
    def lead(self) -> int:
        """Frames of the first chunk that stand before the clip."""
        return self.factor - 1

    @property
    def states(self) -> dict[str, tuple[int, ...]]:
        """Shape of each state by its name, without the axis of the batch."""
        found: dict[str, tuple[int, ...]] = {}
        for number, bands in enumerate(self.bands):
            found[f"subsampling{number}"] = (self.channels if number else 1, 1, bands)
        head = (self.heads, self.before, self.width // self.heads)
        for layer in range(self.layers):
            found[f"layer{layer}.key"] = found[f"layer{layer}.value"] = head
            found[f"layer{layer}.conv"] = (self.width, self.taps - 1)
        return found


class StreamingFastConformer(nn.Module):
    """The graph of one chunk of each stream of a batch, or of several at once.

    Args:
        source: a ``NemotronAsrStreamingForRNNT``.
        steps: of a chunk.
    """

    def __init__(self, source: Source, steps: int) -> None:
        super().__init__()
        encoder = source.encoder
        self.sizes = Sizes.of(encoder.config, steps)
        self.subsampling = _Subsampling(encoder.subsampling, encoder.input_scale, self.sizes)
        self.layers = nn.ModuleList(_Layer(layer, self.sizes) for layer in encoder.layers)
        self.projector = Linear(source.encoder_projector)

    def forward(
        self,
        features: Tensor,
        lengths: Tensor,
        frames: Tensor,
        heard: Tensor,
        caches: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        """What the joiner hears.

        Args:
            features: (batch, frames, bands), one chunk or several.
            lengths: (batch,) int64, how many of the frames are not behind the clip.
            frames: (batch,) int64, of the chunks before.
            heard: (batch,) int64, how many of these were not behind the clip, less those before it.
            caches: of :attr:`Sizes.states`, zeros before the first chunk.

        Returns:
            (batch, steps, width), and (batch,) how many of these belong to the clip; then the
            states for the next chunk.
        """
        sizes = self.sizes
        total = heard + lengths
        first = torch.div(frames, sizes.factor, rounding_mode="floor")
        strided = len(sizes.bands)
        hidden, following, end = self.subsampling(features, first, total, caches[:strided])
        windows = _Windows.of(features.shape[1] // sizes.frames, first, end, sizes)
        for number, layer in enumerate(self.layers):
            begin = strided + 3 * number
            hidden, states = layer(hidden, windows, caches[begin : begin + 3])
            following += states
        count = (end - first).clamp(min=0, max=hidden.shape[1])
        return (self.projector(hidden), count, frames + features.shape[1], total, *following)


class _Subsampling(nn.Module):
    """Strided convolutions that see one frame of the chunk before; all but the first depthwise."""

    def __init__(self, source: Source, scale: float, sizes: Sizes) -> None:
        super().__init__()
        self.conv_in, self.layers = source.conv_in, source.layers
        self.linear = Linear(scaled(source.linear, scale))
        self.factor = sizes.factor

    def forward(
        self, features: Tensor, first: Tensor, total: Tensor, caches: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """(batch, steps, width), the states, and (batch,) the number of steps that the clip has.

        Args:
            first: (batch,), step of the clip that is the first one here.
            total: (batch,), frames of the clip so far.
        """
        inside = (
            torch.arange(features.shape[1])
            < (total + self.factor - 1 - first * self.factor)[:, None]
        )
        hidden = torch.where(inside[:, None, :, None], features[:, None], 0.0)
        following, rate, end = [], self.factor, total
        for number, cache in enumerate(caches):
            layer = self.layers[number - 1] if number else None
            conv = self.conv_in if layer is None else layer.depthwise_conv
            hidden = torch.cat((cache, hidden), 2)
            following.append(hidden[:, :, -1:])
            padded = functional.pad(hidden, (*conv.freq_pad, 0, 0))
            hidden = functional.conv2d(
                padded, conv.weight, conv.bias, conv.stride, groups=conv.groups
            )
            if layer is not None:
                hidden = layer.pointwise_conv(hidden)
            rate //= 2
            end = torch.div(end, 2, rounding_mode="floor") + 1
            # Of each row: which of the clip's it is.
            place = torch.arange(hidden.shape[2]) + (first * rate - (rate - 1))[:, None]
            inside = (place >= 0) & (place < end[:, None])
            hidden = torch.relu(torch.where(inside[:, None, :, None], hidden, 0.0))
        return self.linear(hidden.transpose(1, 2).flatten(2)), following, end


class _Windows:
    """Which keys the steps of each chunk see.

    Args:
        chunks: that are computed at once.
        keys: (chunks · (before + steps),), places in the keys of the chunks before and these.
        unseen: (batch, 1, chunks, 1, before + steps), added to scores.
    """

    def __init__(self, chunks: int, keys: Tensor, unseen: Tensor) -> None:
        self.chunks, self.keys, self.unseen = chunks, keys, unseen

    @classmethod
    def of(cls, chunks: int, first: Tensor, end: Tensor, sizes: Sizes) -> _Windows:
        """Of steps from the clip's step ``first`` on, which has ``end`` of them."""
        span = torch.arange(sizes.before + sizes.steps)
        keys = (torch.arange(chunks) * sizes.steps)[:, None] + span
        place = keys + (first - sizes.before)[:, None, None]
        inside = (place >= 0) & (place < end[:, None, None])
        return cls(chunks, keys.flatten(), torch.where(inside, 0.0, UNSEEN)[:, None, :, None])


class _Layer(nn.Module):
    """A feed-forward, attention, convolution, a feed-forward, layer norm."""

    def __init__(self, source: Source, sizes: Sizes) -> None:
        super().__init__()
        self.norm_feed_forward1, self.norm_self_att = (
            source.norm_feed_forward1,
            source.norm_self_att,
        )
        self.norm_conv, self.norm_feed_forward2 = source.norm_conv, source.norm_feed_forward2
        self.feed_forward1 = FeedForward(source.feed_forward1, 0.5)
        self.self_attn = _Attention(source.self_attn, sizes)
        self.conv = _Convolution(source.conv)
        self.feed_forward2 = FeedForward(source.feed_forward2, 0.5)
        self.norm_out = source.norm_out

    def forward(
        self, hidden: Tensor, windows: _Windows, caches: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """(batch, steps, width), and the states of attention and convolution."""
        hidden = hidden + self.feed_forward1(self.norm_feed_forward1(hidden))
        mixed, states = self.self_attn(self.norm_self_att(hidden), windows, caches[:2])
        hidden = hidden + mixed
        convolved, last = self.conv(self.norm_conv(hidden), caches[2])
        hidden = hidden + convolved
        hidden = hidden + self.feed_forward2(self.norm_feed_forward2(hidden))
        return self.norm_out(hidden), [*states, last]


class _Attention(nn.Module):
    """Relative positions (Transformer-XL, Dai et al., 2019) of the distances in a chunk's window.

    There is one number of these, so what attention makes of them is stored instead of the matrix
    that makes it. The scale of the scores is a part of the queries.
    """

    def __init__(self, source: Source, sizes: Sizes) -> None:
        super().__init__()
        self.heads, self.steps, self.before = sizes.heads, sizes.steps, sizes.before
        scale = float(source.scaling)
        self.q_proj, self.k_proj = Linear(scaled(source.q_proj, scale)), Linear(source.k_proj)
        self.v_proj, self.o_proj = Linear(source.v_proj), Linear(source.o_proj)
        biases = (scale * each.detach()[None, :, None] for each in (source.bias_u, source.bias_v))
        self.bias_u, self.bias_v = (nn.Parameter(each, requires_grad=False) for each in biases)
        # From the farthest back to the farthest ahead.
        keys = self.before + self.steps
        positions = RelativePositions(sizes.width)(keys)[:, : keys + self.steps - 1]
        with torch.no_grad():
            distances = split(source.relative_k_proj(positions), self.heads).transpose(2, 3)
        self.distances = nn.Parameter(distances[:, :, None].contiguous(), requires_grad=False)

    def forward(
        self, hidden: Tensor, windows: _Windows, caches: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        query, key, value = (
            split(project(hidden), self.heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        both = [torch.cat(pair, 2) for pair in zip(caches, (key, value), strict=True)]
        count = self.before + self.steps
        keys, values = (
            each.index_select(2, windows.keys).unflatten(2, (windows.chunks, count))
            for each in both
        )
        asked = query.unflatten(2, (windows.chunks, self.steps))
        bias = self._by_distance((asked + self.bias_v[:, :, None]) @ self.distances)
        scores = (asked + self.bias_u[:, :, None]) @ keys.transpose(3, 4) + (bias + windows.unseen)
        mixed = (scores.softmax(-1) @ values).flatten(2, 3)
        return self.o_proj(merge(mixed)), [each[:, :, -self.before :] for each in both]

    def _by_distance(self, scores: Tensor) -> Tensor:
        """(…, steps, keys) of (…, steps, keys + steps − 1): row i from place steps − 1 − i on."""
        steps, count = self.steps, self.before + self.steps
        if steps == 1:
            return scores
        # A row of one place less than it has begins one place further to the left than the last.
        row = count + steps - 2
        flat = scores.flatten(3)[..., steps - 1 : steps - 1 + steps * row]
        rows: Tensor = flat.unflatten(3, (steps, row))
        return rows[..., :count]


class _Convolution(nn.Module):
    """Gated pointwise convolution, causal depthwise one, layer norm, pointwise one."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.pointwise_conv1 = Linear(pointwise(source.pointwise_conv1))
        self.depthwise_conv, self.norm = source.depthwise_conv, source.norm
        self.activation = source.activation
        self.pointwise_conv2 = Linear(pointwise(source.pointwise_conv2))

    def forward(self, hidden: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, steps, width), and the last frames in front of the depthwise convolution."""
        value, gate = self.pointwise_conv1(hidden).chunk(2, dim=2)
        gated = torch.cat((cache, (value * torch.sigmoid(gate)).transpose(1, 2)), 2)
        conv = self.depthwise_conv
        seen = functional.conv1d(gated, conv.weight, conv.bias, groups=conv.groups)
        normed = self.activation(self.norm(seen.transpose(1, 2)))
        return self.pointwise_conv2(normed), gated[:, :, -(conv.kernel_size[0] - 1) :]
