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

    ``transformers`` takes mean and variance over the padding too. Here they are those of the clip.
    """

    def __init__(self, conv: nn.Conv1d, norm: nn.GroupNorm, act: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.activation = conv, norm, act

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        hidden = self.conv(waveform[:, None])
        longest = hidden.shape[2]
        frames = frames_after(lengths, self.conv.kernel_size, self.conv.stride)
        inside = within(frames, longest)[:, None]
        count = frames.clamp(min=1)[:, None]
        # Operations per frame: of the channels themselves, and of the products of samples.
        if self.conv.out_channels < self.conv.kernel_size[0] ** 2:
            mean, variance = _of_channels(hidden, inside, count)
        else:
            mean, variance = self._of_samples(waveform, inside, count, longest)
        scale = self.norm.weight / torch.sqrt(variance + self.norm.eps)
        shift = self.norm.bias - mean * scale
        activated: Tensor = self.activation(
            hidden * scale.float()[:, :, None] + shift.float()[:, :, None]
        )
        return activated

    def _of_samples(
        self, waveform: Tensor, inside: Tensor, count: Tensor, longest: int
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of channels that are many times as large as the waveform.

        Channel c is ``w_c · x`` over windows x of a few samples, so its mean is ``w_c · E[x]`` and
        that of its square is ``w_cᵀ E[x xᵀ] w_c``. Both are in double precision: neighbouring
        samples of speech are so similar that a high-pass filter would lose all digits of single
        precision.
        """
        taps, stride = self.conv.kernel_size[0], self.conv.stride[0]
        windows = _windows(waveform, longest, taps, stride)
        valid = torch.where(inside.transpose(1, 2), windows, 0.0).double()
        # Turned before it is masked: ONNX Runtime before 1.24 fuses a transposition right before a
        # product into it, and then has no kernel for doubles.
        turned = torch.where(inside, windows.transpose(1, 2), 0.0).double()
        weight = self.conv.weight.double().flatten(1)
        # Divided before the product, so that it is of no constant, which would be a layer.
        shares = weight / count[:, :, None].double()
        mean = (shares * valid.sum(1, keepdim=True)).sum(2)
        squares = (torch.matmul(shares, torch.matmul(turned, valid)) * weight).sum(2)
        variance = squares - mean * mean
        # It has no part in the variance.
        return mean if self.conv.bias is None else mean + self.conv.bias, variance


def _of_channels(hidden: Tensor, inside: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """(batch, channels) each: mean and variance over the frames of a clip."""
    total = torch.where(inside, hidden, 0.0).sum(2)
    mean = total / count
    centred = torch.where(inside, hidden - mean[:, :, None], 0.0)
    return mean, (centred * centred).sum(2) / count


def _windows(waveform: Tensor, frames: int, taps: int, stride: int) -> Tensor:
    """(batch, frames, taps): the samples that each output of a convolution sees.

    Made of slices of one reshaped waveform: to gather the samples one by one takes ten times as
    long.
    """
    blocks = -(-taps // stride)
    padded = nn.functional.pad(waveform, (0, blocks * stride))
    rows = padded[:, : (frames + blocks - 1) * stride].unflatten(1, (-1, stride))
    whole = torch.cat([rows[:, block : block + frames] for block in range(blocks)], 2)
    return whole[:, :, :taps]


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
