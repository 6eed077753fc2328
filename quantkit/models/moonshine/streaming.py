"""The encoder of Moonshine's second generation for export: frames of samples instead of a
convolution over them, and attention that sees 0.3 seconds back and at most 0.1 ahead.

The weights are those of ``transformers.MoonshineStreamingForConditionalGeneration``. The decoder is
that of :mod:`quantkit.models.moonshine.network`; what it adds to the encoder's result before it
attends to it, a position, is a part of this graph.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from quantkit.models.layers.decoding import CrossStates, SelfAttention, by_head, merged
from quantkit.models.layers.linear import Linear
from quantkit.models.layers.windowed_attention import Blocks, Sight, attend


class MoonshineStreamingEncoder(nn.Module):
    """From waveforms to the keys and values of cross-attention.

    Args:
        model: in evaluation mode; its tensors are shared, except for the merged matrices.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        encoder, decoder, config = model.model.encoder, model.model.decoder, model.config
        self.embedder = _Embedder(encoder.embedder)
        heads = int(config.encoder_config.num_attention_heads)
        self.layers = nn.ModuleList(_EncoderLayer(layer, heads) for layer in encoder.layers)
        self.sights = [_sight(*window) for window in config.encoder_config.sliding_windows]
        self.final_norm = _layer_norm(encoder.final_norm)
        # A look-up instead of a slice, so that it is stored as an embedding.
        self.embed_positions = nn.Embedding.from_pretrained(decoder.pos_emb.weight.detach())
        has_width = isinstance(decoder.proj, nn.Linear)
        self.proj = Linear(decoder.proj) if has_width else nn.Identity()
        self.cross_attention = nn.ModuleList(
            CrossStates(layer.encoder_attn, int(config.num_attention_heads))
            for layer in decoder.layers
        )

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Keys (clips, heads, head_size, steps) and values (clips, heads, steps, head_size) of each
        layer in turn, from ``waveform`` (clips, samples) of clips of one length."""
        hidden = self.embedder(waveform)
        steps = hidden.shape[1]
        blocks = {sight: Blocks.of(steps, sight) for sight in {*self.sights}}
        for layer, sight in zip(self.layers, self.sights, strict=True):
            hidden = layer(hidden, blocks[sight])
        placed = self.final_norm(hidden) + self.embed_positions(torch.arange(steps))
        heard = self.proj(placed)
        return [state for layer in self.cross_attention for state in layer(heard)]


class _Embedder(nn.Module):
    """(clips, samples) → (clips, steps, width), a step for four frames.

    Each frame loses its mean and is divided by its root mean square; asinh compresses it.
    """

    def __init__(self, embedder: Any) -> None:
        super().__init__()
        self.frame, self.eps = int(embedder.frame_len), float(embedder.cmvn.eps)
        gain = torch.exp(embedder.comp.log_k.detach())
        self.gain = nn.Parameter(gain, requires_grad=False)
        self.linear = Linear(embedder.linear)
        self.conv1, self.conv2 = embedder.conv1, embedder.conv2

    def forward(self, waveform: Tensor) -> Tensor:
        samples = waveform.shape[1]
        count = (samples + self.frame - 1) // self.frame
        whole = functional.pad(waveform, (0, self.frame - 1))[:, : count * self.frame]
        frames = whole.unflatten(1, (count, self.frame))
        centred = frames - frames.mean(-1, keepdim=True)
        power = centred.square().mean(-1, keepdim=True)
        hidden = torch.asinh(centred / torch.sqrt(power + self.eps) * self.gain)
        hidden = functional.silu(self.linear(hidden))
        # Of a clip that ends within a frame, the processor of transformers hides that frame.
        complete = torch.arange(count) < samples // self.frame
        hidden = torch.where(complete[:, None], hidden, 0.0).transpose(1, 2)
        hidden = functional.silu(_causal(self.conv1, hidden))
        return _causal(self.conv2, hidden).transpose(1, 2)


class _EncoderLayer(nn.Module):
    def __init__(self, layer: Any, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.self_attn = SelfAttention(layer.self_attn)
        self.input_layernorm = _layer_norm(layer.input_layernorm)
        self.activation = layer.mlp.activation_fn
        self.fc1, self.fc2 = Linear(layer.mlp.fc1), Linear(layer.mlp.fc2)
        self.post_attention_layernorm = _layer_norm(layer.post_attention_layernorm)

    def forward(self, hidden: Tensor, blocks: Blocks) -> Tensor:
        query, key, value = (
            by_head(each, self.heads)
            for each in self.self_attn.qkv(self.input_layernorm(hidden)).chunk(3, -1)
        )
        hidden = hidden + self.self_attn.out(merged(attend(query, key, value, blocks)))
        inner = self.activation(self.fc1(self.post_attention_layernorm(hidden)))
        result: Tensor = hidden + self.fc2(inner)
        return result


def _sight(left: int, right: int) -> Sight:
    """Of a window of ``transformers``, which counts the step itself on the left, and one more than
    it shows on the right."""
    return max(int(left) - 1, 0), max(int(right) - 1, 0)


def _layer_norm(source: Any) -> nn.LayerNorm:
    """With the offset of its weight in the weight."""
    gamma = source.gamma.detach() + source.unit_offset
    norm = nn.LayerNorm(len(gamma), source.ln.eps, bias=False)
    norm.weight = nn.Parameter(gamma, requires_grad=False)
    return norm


def _causal(layer: Any, hidden: Tensor) -> Tensor:
    """A convolution that sees zeros before the clip and nothing behind it."""
    padded = functional.pad(hidden, (int(layer.left_pad), 0))
    return functional.conv1d(
        padded, layer.weight, layer.bias, layer.stride, dilation=layer.dilation
    )
