"""Wav2Letter chunk by chunk, with what its convolutions need of the chunks before as states.

A convolution of k taps that pads p frames in front of a clip gives row j from the frames
s j − p … s j − p + k − 1. In a chunk it is computed without padding, on the last c frames of the
chunk before and the new ones, where c is the least number that has c ≥ k − s and s | c − p. So its
first row is (c − p) / s rows before the chunk: the layer gives its rows so much later, and what is
behind it is later by that, too. Rows before the clip's first, and behind its last, are zeroed where
the whole clip is padded with zeros. No frame is computed twice, and nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from quantkit.models.wav2letter import Wav2Letter

# A label that is ruled out.
_NEVER = -1e9


@dataclass(frozen=True)
class ConvolutionInChunks:
    """What one convolution keeps.

    Args:
        cache: frames of the chunk before.
        delay: rows by which its result is late.
        stride: frames for a row.
    """

    cache: int
    delay: int
    stride: int

    @classmethod
    def of(cls, conv: nn.Conv1d) -> ConvolutionInChunks:
        """Of a convolution with equal padding on both sides."""
        (taps,), (stride,) = conv.kernel_size, conv.stride
        padding = int(conv.padding[0])
        cache = taps - stride
        while (cache - padding) % stride:
            cache += 1
        return cls(cache, (cache - padding) // stride, stride)


class StreamingWav2Letter(nn.Module):
    """The graph of one chunk.

    Args:
        model: without batch norm; its weights are shared.
        blank: index of the label that stands where a chunk has no row of the clip.
    """

    outside: Tensor

    def __init__(self, model: Wav2Letter, blank: int) -> None:
        super().__init__()
        self.model = model
        self.convolutions = [
            ConvolutionInChunks.of(block.conv)
            for block in model.blocks
            if isinstance(block.conv, nn.Conv1d)
        ]
        outside = torch.full((model.config.labels,), _NEVER)
        outside[blank] = 0.0
        self.register_buffer("outside", outside, persistent=False)

    @property
    def stride(self) -> int:
        """Frames of features for a row of the output."""
        return self.convolutions[0].stride

    @property
    def delay(self) -> int:
        """Rows of the output before the first one of the clip."""
        return sum(each.delay for each in self.convolutions)

    @property
    def caches(self) -> dict[str, tuple[int, int]]:
        """(channels, frames) of each state, by the layer's name; the shape without the batch."""
        return {
            f"layer{number}": (block.conv.in_channels, each.cache)
            for number, (block, each) in enumerate(
                zip(self.model.blocks, self.convolutions, strict=True), start=1
            )
            if isinstance(block.conv, nn.Conv1d) and each.cache
        }

    def forward(
        self, features: Tensor, lengths: Tensor, frames: Tensor, heard: Tensor, caches: list[Tensor]
    ) -> tuple[Tensor, ...]:
        """Log-probabilities of one chunk of each stream of a batch; a whole clip may be one.

        Args:
            features: (batch, chunk, features), an even number of frames.
            lengths: (batch,) int64, how many of them belong to the clip; fewer only at its end.
            frames: (batch,) int64, of the chunks before.
            heard: (batch,) int64, how many of these belong to the clip.
            caches: of :attr:`caches`, zeros before the first chunk.

        Returns:
            (batch, chunk / 2, labels) log-probabilities, (batch,) int64 how many of these rows are
            of the clip, then the four states for the next chunk.
        """
        total = heard + lengths
        hidden = torch.div(total, 2, rounding_mode="floor")
        x = features.transpose(1, 2)
        frame = torch.arange(features.shape[1], device=features.device)
        x = torch.where(frame < lengths[:, None, None], x, 0.0)
        begin = torch.div(frames, self.stride, rounding_mode="floor")
        waiting, following = [*caches], []
        last_masked = len(self.model.blocks) - 2
        for number, (block, conv) in enumerate(
            zip(self.model.blocks, self.convolutions, strict=True)
        ):
            assert isinstance(block.conv, nn.Conv1d)
            if conv.cache:
                x = torch.cat((waiting.pop(0), x), dim=2)
                following.append(x[:, :, -conv.cache :])
            x = functional.conv1d(x, block.conv.weight, block.conv.bias, stride=conv.stride)
            x = torch.relu(x)
            begin = begin - conv.delay
            place = torch.arange(x.shape[2], device=features.device)
            if number < last_masked:
                row = begin[:, None, None] + place
                x = torch.where((row >= 0) & (row < hidden[:, None, None]), x, 0.0)
        logits = self.model.output(x).transpose(1, 2)
        log_probs = torch.log_softmax(logits.float(), dim=-1)
        row = begin[:, None] + place
        inside = (row >= 0) & (row <= hidden[:, None])
        log_probs = torch.where(inside[:, :, None], log_probs, self.outside)
        count = inside.sum(dim=1)
        return (log_probs, count, frames + features.shape[1], total, *following)
