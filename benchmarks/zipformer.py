"""A Zipformer with CTC of random weights, as icefall's scripts export one, for measurements.

Yao et al., "Zipformer: A faster and better encoder for automatic speech recognition", 2024. No
weights of one can be had from a registry; times and memory do not depend on them. Activations and
shifts of relative positions are written with the operators that published files have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from quantkit.exporting.pretrained import build_feature_model
from quantkit.exporting.tracing import OPSET
from quantkit.graph.artifact import save_model

BANDS = 80
_POSITIONS = 48
_NEVER = -1_000.0


@dataclass(frozen=True)
class ZipformerSize:
    """The medium one of the paper; each value is of one stack, in order.

    Args:
        widths: channels.
        layers: of each stack.
        hidden: of the second of three feed-forward modules; the others have 3/4 and 5/4 of it.
        heads: of the attention.
        every: how many frames of the first stack a frame of this one stands for.
        kernels: frames of the depthwise convolutions.
        labels: outputs.
    """

    widths: tuple[int, ...] = (192, 256, 384, 512, 384, 256)
    layers: tuple[int, ...] = (2, 2, 3, 4, 3, 2)
    hidden: tuple[int, ...] = (512, 768, 1_024, 1_536, 1_024, 768)
    heads: tuple[int, ...] = (4, 4, 4, 8, 4, 4)
    every: tuple[int, ...] = (1, 2, 4, 8, 4, 2)
    kernels: tuple[int, ...] = (31, 31, 15, 15, 15, 31)
    labels: int = 500


def write(size: ZipformerSize, path: Path, scratch: Path) -> Path:
    """The float32 graph from ``features`` (batch, frames, bands) and ``lengths`` to ``log_probs``.

    Args:
        scratch: an empty folder that stays while the file is read.
    """
    torch.manual_seed(0)
    module = _Zipformer(size).eval()
    save_model(build_feature_model(module, BANDS, OPSET, scratch), path)
    return path


def _log_of_sum(x: Tensor) -> Tensor:
    """log(1 + exp(x)), as published graphs compute it."""
    zero = torch.zeros((), dtype=x.dtype)
    return torch.maximum(zero, x) + torch.log1p(torch.exp(-torch.abs(zero - x)))


class _SwooshL(nn.Module):
    """Section 3.4, equation 5; quiet for inputs near 0."""

    def forward(self, x: Tensor) -> Tensor:
        return _log_of_sum(x - 4.0) - 0.08 * x - 0.035


class _SwooshR(nn.Module):
    """Section 3.4, equation 4; passes through 0."""

    def forward(self, x: Tensor) -> Tensor:
        return _log_of_sum(x - 1.0) - 0.08 * x - 0.313261687


class _BiasNorm(nn.Module):
    """Section 3.3, equation 3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(width) * 0.1)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        power = torch.mean((x - self.bias) ** 2, dim=-1, keepdim=True)
        return x * power**-0.5 * self.log_scale.exp()


class _Bypass(nn.Module):
    """Section 3.2, equation 2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, before: Tensor, x: Tensor) -> Tensor:
        return before + (x - before) * self.scale


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(width, hidden)
        self.activation = _SwooshL()
        self.out_proj = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.out_proj(self.activation(self.in_proj(x))))


class _AttentionWeights(nn.Module):
    """Shares of all frames, once for three uses (section 3.2)."""

    def __init__(self, width: int, heads: int, query: int = 32, position: int = 4) -> None:
        super().__init__()
        self.sizes = heads, query, position
        self.in_proj = nn.Linear(width, heads * (2 * query + position))
        self.linear_pos = nn.Linear(_POSITIONS, heads * position, bias=False)

    def forward(self, x: Tensor, positions: Tensor, outside: Tensor) -> Tensor:
        heads, query, position = self.sizes
        batch, frames = x.shape[0], x.shape[1]
        sizes = [heads * query, heads * query, heads * position]
        asked, keys, places = self.in_proj(x).split(sizes, dim=-1)
        asked = asked.reshape(batch, frames, heads, query).permute(0, 2, 1, 3)
        keys = keys.reshape(batch, frames, heads, query).permute(0, 2, 3, 1)
        places = places.reshape(batch, frames, heads, position).permute(0, 2, 1, 3)
        far = self.linear_pos(positions).reshape(-1, heads, position).permute(1, 2, 0)
        shifted = torch.matmul(places, far).reshape(-1, 2 * frames - 1)
        rows = torch.arange(frames - 1, -1, -1).repeat(batch * heads)
        index = rows[:, None] + torch.arange(frames)
        shifted = torch.gather(shifted, 1, index).reshape(batch, heads, frames, frames)
        scores = torch.matmul(asked, keys) + shifted
        return torch.where(outside, _NEVER, scores).softmax(dim=-1)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, value: int = 12) -> None:
        super().__init__()
        self.sizes = heads, value
        self.in_proj = nn.Linear(width, heads * value)
        self.out_proj = nn.Linear(heads * value, width)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        heads, value = self.sizes
        batch, frames = x.shape[0], x.shape[1]
        values = self.in_proj(x).reshape(batch, frames, heads, value).permute(0, 2, 1, 3)
        mixed = torch.matmul(weights, values).permute(0, 2, 1, 3)
        return cast(Tensor, self.out_proj(mixed.reshape(batch, frames, heads * value)))


class _NonlinearAttention(nn.Module):
    """With the shares of the first head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = width * 3 // 4
        self.in_proj = nn.Linear(width, 3 * self.hidden)
        self.out_proj = nn.Linear(self.hidden, width)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        gate, value, after = self.in_proj(x).split([self.hidden] * 3, dim=-1)
        mixed = torch.matmul(weights[:, 0], value * torch.tanh(gate))
        return cast(Tensor, self.out_proj(mixed * after))


class _Convolution(nn.Module):
    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(width, 2 * width)
        self.depthwise_conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.activation = _SwooshR()
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, outside: Tensor) -> Tensor:
        value, gate = self.in_proj(x).chunk(2, dim=-1)
        gated = torch.where(outside, 0.0, value * torch.sigmoid(gate))
        mixed = self.depthwise_conv(gated.transpose(1, 2)).transpose(1, 2)
        return cast(Tensor, self.out_proj(self.activation(mixed)))


class _Layer(nn.Module):
    """Figure 2 of the paper."""

    def __init__(self, width: int, hidden: int, heads: int, kernel: int) -> None:
        super().__init__()
        self.attn_weights = _AttentionWeights(width, heads)
        self.ff1 = _FeedForward(width, hidden * 3 // 4)
        self.ff2 = _FeedForward(width, hidden)
        self.ff3 = _FeedForward(width, hidden * 5 // 4)
        self.nonlin_attention = _NonlinearAttention(width)
        self.attn1, self.attn2 = _Attention(width, heads), _Attention(width, heads)
        self.conv1, self.conv2 = _Convolution(width, kernel), _Convolution(width, kernel)
        self.norm = _BiasNorm(width)
        self.bypass_mid, self.bypass = _Bypass(width), _Bypass(width)

    def forward(self, x: Tensor, positions: Tensor, inside: Tensor) -> Tensor:
        before, outside = x, ~inside
        weights = self.attn_weights(x, positions, outside[:, None, None])
        x = x + self.ff1(x)
        x = x + self.nonlin_attention(x, weights)
        x = x + self.attn1(x, weights)
        x = x + self.conv1(x, outside[..., None])
        x = x + self.ff2(x)
        x = self.bypass_mid(before, x)
        x = x + self.attn2(x, weights)
        x = x + self.conv2(x, outside[..., None])
        x = x + self.ff3(x)
        return cast(Tensor, self.bypass(before, self.norm(x)))


class _Stack(nn.Module):
    """Layers at a rate of their own: frames are averaged before and repeated behind them."""

    def __init__(
        self, width: int, layers: int, hidden: int, heads: int, every: int, kernel: int
    ) -> None:
        super().__init__()
        self.every = every
        self.shares = nn.Parameter(torch.randn(every))
        self.layers = nn.ModuleList(_Layer(width, hidden, heads, kernel) for _ in range(layers))
        self.bypass = _Bypass(width)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        before, frames = x, x.shape[1]
        if self.every > 1:
            short = -frames % self.every
            x = torch.cat([x, x[:, -1:].expand(-1, self.every, -1)], dim=1)[:, : frames + short]
            x = x.reshape(x.shape[0], -1, self.every, x.shape[2])
            x = (x * self.shares.softmax(0)[:, None]).sum(dim=2)
            inside = inside[:, :: self.every]
        positions = _positions(x.shape[1])
        for layer in self.layers:
            x = layer(x, positions, inside)
        if self.every == 1:
            return x
        repeated = x[:, :, None].expand(-1, -1, self.every, -1).reshape(x.shape[0], -1, x.shape[2])
        return cast(Tensor, self.bypass(before, repeated[:, :frames]))


class _Embedding(nn.Module):
    """Two frames to one, by convolutions and one block as of a ConvNeXt."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=(0, 1)),
            _SwooshR(),
            nn.Conv2d(8, 32, 3, stride=2),
            _SwooshR(),
            nn.Conv2d(32, 128, 3, stride=(1, 2)),
            _SwooshR(),
        )
        self.depthwise_conv = nn.Conv2d(128, 128, 7, padding=3, groups=128)
        self.pointwise_conv1 = nn.Conv2d(128, 384, 1)
        self.activation = _SwooshL()
        self.pointwise_conv2 = nn.Conv2d(384, 128, 1)
        self.out = nn.Linear(128 * ((BANDS // 2 - 1) // 2), width)
        self.out_norm = _BiasNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        x = self.conv(features[:, None])
        mixed = self.activation(self.pointwise_conv1(self.depthwise_conv(x)))
        x = x + self.pointwise_conv2(mixed)
        x = x.transpose(1, 2).flatten(2)
        return cast(Tensor, self.out_norm(self.out(x)))


class _Zipformer(nn.Module):
    def __init__(self, size: ZipformerSize) -> None:
        super().__init__()
        self.encoder_embed = _Embedding(size.widths[0])
        each = zip(
            *(size.widths, size.layers, size.hidden, size.heads, size.every, size.kernels),
            strict=True,
        )
        self.encoders = nn.ModuleList(_Stack(*values) for values in each)
        self.widths = size.widths
        self.shares = nn.Parameter(torch.zeros(2))
        self.ctc_output = nn.Linear(max(size.widths), size.labels)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = self.encoder_embed(features)
        kept = torch.div(lengths - 7, 2, rounding_mode="floor")
        inside = torch.arange(x.shape[1])[None] < kept[:, None]
        made = []
        for width, stack in zip(self.widths, self.encoders, strict=True):
            x = stack(_of_width(x, width), inside)
            made.append(x)
        x = _widest(made, self.widths)
        pairs = torch.cat([x, x[:, -1:]], dim=1)[:, : 2 * ((x.shape[1] + 1) // 2)]
        pairs = pairs.reshape(x.shape[0], -1, 2, x.shape[2])
        x = (pairs * self.shares.softmax(0)[:, None]).sum(dim=2)
        log_probs = torch.log_softmax(self.ctc_output(x), dim=-1)
        return log_probs, torch.div(kept + 1, 2, rounding_mode="floor")


def _of_width(x: Tensor, width: int) -> Tensor:
    """The first channels, or zeros behind them."""
    given = x.shape[-1]
    return x[..., :width] if given >= width else nn.functional.pad(x, (0, width - given))


def _widest(made: list[Tensor], widths: tuple[int, ...]) -> Tensor:
    """Of every channel the last stack that has it (figure 1 of the paper)."""
    parts, have = [made[-1]], widths[-1]
    for x, width in reversed([*zip(made, widths, strict=True)]):
        if width > have:
            parts.append(x[..., have:width])
            have = width
    return torch.cat(parts, dim=-1)


def _positions(frames: int) -> Tensor:
    """(2 * frames - 1, 48), of distances from the last frame to the first (appendix B)."""
    distance = torch.arange(1 - frames, frames, dtype=torch.float32)[:, None]
    compressed = _POSITIONS**0.5 * distance.sign() * torch.log1p(distance.abs() / _POSITIONS**0.5)
    angle = torch.atan(compressed / (_POSITIONS / (2.0 * torch.pi)))
    turns = angle * torch.arange(1, 1 + _POSITIONS // 2, dtype=torch.float32)
    return torch.cat([torch.cos(turns), torch.sin(turns)], dim=-1)
