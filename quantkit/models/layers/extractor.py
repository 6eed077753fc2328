"""The convolutions that turn a waveform into 50 frames a second (wav2vec 2.0, section 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from quantkit.models.layers.clips import frames_after, within
from quantkit.models.layers.linear import Linear
from quantkit.models.layers.source import Source


class FeatureExtractor(nn.Module):
    """(batch, samples) → (batch, frames, channels).

    None of the convolutions is padded, so frames of a clip depend only on its own samples. Only the
    group norm of the base models makes them depend on each other.
    """

    def __init__(self, source: Source, config: PretrainedConfig) -> None:
        super().__init__()
        self.kernels, self.strides = tuple(config.conv_kernel), tuple(config.conv_stride)
        layers: list[nn.Module] = []
        for layer in source.conv_layers:
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                layers.append(GroupNormConvolution(layer.conv, norm, layer.activation))
            else:
                layers.append(Convolution(layer.conv, norm, layer.activation))
        self.conv_layers = nn.ModuleList(layers)

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        first, *others = self.conv_layers
        hidden: Tensor = waveform[:, None]
        if isinstance(first, GroupNormConvolution):
            hidden = first(waveform, lengths)
        else:
            hidden = first(hidden)
        for layer in others:
            hidden = layer(hidden)
        return hidden.transpose(1, 2)

    def frames(self, lengths: Tensor) -> Tensor:
        """Output frames of clips of ``lengths`` samples; 0 for one that is too short."""
        return frames_after(lengths, self.kernels, self.strides)


class Convolution(nn.Module):
    """Convolution, layer norm over the channels of each frame if there is one, activation."""

    def __init__(self, conv: nn.Conv1d, layer_norm: nn.Module | None, act: nn.Module) -> None:
        super().__init__()
        self.conv, self.layer_norm, self.activation = conv, layer_norm, act

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.conv(hidden)
        if self.layer_norm is not None:
            hidden = self.layer_norm(hidden.transpose(1, 2)).transpose(1, 2)
        activated: Tensor = self.activation(hidden)
        return activated


class GroupNormConvolution(nn.Module):
    """The base models' first layer: every channel gets mean 0 and variance 1 over a clip's frames.

    ``transformers`` takes mean and variance over the padding too. Here they are those of the clip,
    and are not computed from the channels, which are 50 times as large as the waveform: channel c
    is ``w_c · x`` over windows x of a few samples, so its mean is ``w_c · E[x]`` and its variance
    ``w_cᵀ Cov(x) w_c``. The covariances are in double precision: neighbouring samples of speech are
    so similar that a high-pass filter would lose all digits of single precision.
    """

    def __init__(self, conv: nn.Conv1d, norm: nn.GroupNorm, act: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.activation = conv, norm, act

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        hidden = self.conv(waveform[:, None])
        scale, shift = self._scale_and_shift(waveform, lengths, hidden.shape[2])
        activated: Tensor = self.activation(hidden * scale + shift)
        return activated

    def _scale_and_shift(
        self, waveform: Tensor, lengths: Tensor, longest: int
    ) -> tuple[Tensor, Tensor]:
        """(batch, channels, 1) each."""
        taps, stride = self.conv.kernel_size[0], self.conv.stride[0]
        frames = frames_after(lengths, (taps,), (stride,))
        inside = within(frames, longest)[:, :, None]
        count = frames.clamp(min=1)[:, None, None].double()
        places = torch.arange(longest)[:, None] * stride + torch.arange(taps)
        windows = waveform.index_select(1, places.flatten()).unflatten(1, (longest, taps)).double()
        valid = torch.where(inside, windows, 0.0)
        mean = valid.sum(1, keepdim=True) / count
        products = torch.matmul(valid.transpose(1, 2), valid) / count
        covariance = products - mean.transpose(1, 2) * mean
        # Sums of products, because a matrix product would count as a layer.
        weight = self.conv.weight.double()
        projected = (covariance[:, None] * weight).sum(-1)
        variance = (projected[:, :, None] * weight).sum((2, 3))
        scale = self.norm.weight.double() / torch.sqrt(variance + self.norm.eps)
        # The convolution's own bias, if any, is part of the mean and cancels.
        shift = self.norm.bias.double() - (mean[:, None] * weight).sum((2, 3)) * scale
        if self.conv.bias is not None:
            shift = shift - self.conv.bias.double() * scale
        return scale.float()[:, :, None], shift.float()[:, :, None]


class FeatureProjection(nn.Module):
    """(batch, frames, channels) → (batch, frames, width)."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.layer_norm = getattr(source, "layer_norm", None)
        self.projection = Linear(source.projection)

    def forward(self, hidden: Tensor) -> Tensor:
        if self.layer_norm is not None:
            hidden = self.layer_norm(hidden)
        projected: Tensor = self.projection(hidden)
        return projected
