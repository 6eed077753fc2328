"""Size of a wav2vec 2.0 to train."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wav2Vec2Settings:
    """Size of the model, in the names of ``transformers.Wav2Vec2Config``.

    Args:
        conv_dim, conv_kernel, conv_stride: channels, kernel and stride of every convolution of
            the feature encoder, in frames of the layer below.
        hidden_size: a multiple of ``num_attention_heads`` and of ``num_conv_pos_embedding_groups``.
        num_conv_pos_embeddings: taps of the positional convolution, in frames.
        hidden_dropout: of the outputs of attention and feed-forward modules.
        layerdrop: share of the layers that a training step skips (Fan et al. 2019).
    """

    conv_dim: tuple[int, ...] = (96, 96, 128, 128, 256)
    conv_kernel: tuple[int, ...] = (160, 8, 4, 4, 4)
    conv_stride: tuple[int, ...] = (20, 4, 2, 2, 2)
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    num_conv_pos_embeddings: int = 16
    num_conv_pos_embedding_groups: int = 16
    hidden_dropout: float = 0.1
    layerdrop: float = 0.0

    def problem(self) -> str:
        """What contradicts itself; empty if nothing does."""
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride) > 0:
            return "conv_dim, conv_kernel and conv_stride must be lists of one length"
        for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
            if self.hidden_size % getattr(self, name):
                return f"hidden_size must be a multiple of {name}"
        return ""

    def frames_of(self, samples: int) -> int:
        """Frames of the encoder for a clip of ``samples`` samples.

        >>> Wav2Vec2Settings().frames_of(16_000)
        22
        """
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            samples = max(0, (samples - kernel) // stride + 1)
        return samples

    @property
    def window(self) -> int:
        """Samples that one frame is made of."""
        window, reach = 1, 1
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            window += (kernel - 1) * reach
            reach *= stride
        return window

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        hop = 1
        for stride in self.conv_stride:
            hop *= stride
        return hop
