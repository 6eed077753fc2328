"""Moonshine for export (Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and
Voice Commands", 2024): the log-probabilities of every token from a waveform and earlier tokens.

The weights are those of ``transformers.MoonshineForConditionalGeneration``; the structure differs
as in :mod:`quantkit.models.whisper.network`. Rotary positions turn pairs of neighbouring channels.
Queries and keys have them in another order here, the first of all pairs before the second, which
changes no product of the two and spares the shuffling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from quantkit.models.layers.decoding import (
    CrossAttention,
    CrossStates,
    SelfAttention,
    TokenDecoder,
    by_head,
    merged,
)
from quantkit.models.layers.linear import Linear
from quantkit.models.layers.rotary import RotaryAngles, Turns, turned


class MoonshineEncoder(nn.Module):
    """From waveforms to the keys and values of cross-attention.

    Args:
        model: in evaluation mode; its tensors are shared, except for the merged matrices.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        encoder, config = model.model.encoder, model.config
        self.conv1, self.conv2, self.conv3 = encoder.conv1, encoder.conv2, encoder.conv3
        self.groupnorm = encoder.groupnorm
        self.rotary_emb = RotaryAngles(encoder.rotary_emb)
        heads = int(config.encoder_num_attention_heads)
        pairs = self.rotary_emb.pairs
        self.layers = nn.ModuleList(_EncoderLayer(layer, pairs, heads) for layer in encoder.layers)
        self.layer_norm = encoder.layer_norm
        self.cross_attention = nn.ModuleList(
            CrossStates(layer.encoder_attn, int(config.decoder_num_attention_heads))
            for layer in model.model.decoder.layers
        )

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Keys (clips, heads, head_size, steps) and values (clips, heads, steps, head_size) of each
        layer in turn, from ``waveform`` (clips, samples) of clips of one length."""
        hidden = self.groupnorm(torch.tanh(self.conv1(waveform[:, None])))
        hidden = functional.gelu(self.conv2(hidden))
        hidden = functional.gelu(self.conv3(hidden)).transpose(1, 2)
        turns = self.rotary_emb(torch.arange(hidden.shape[1]))
        for layer in self.layers:
            hidden = layer(hidden, turns)
        heard = self.layer_norm(hidden)
        return [state for layer in self.cross_attention for state in layer(heard)]


class MoonshineDecoder(TokenDecoder):
    """From tokens to the log-probabilities of the next one.

    Args:
        model: of either generation, otherwise as for the encoder.
        heads: of its attention.
    """

    def __init__(self, model: Any, heads: int) -> None:
        super().__init__()
        decoder = model.model.decoder
        self.embed_tokens = decoder.embed_tokens
        self.rotary_emb = RotaryAngles(decoder.rotary_emb)
        pairs = self.rotary_emb.pairs
        self.layers = nn.ModuleList(_DecoderLayer(layer, pairs, heads) for layer in decoder.layers)
        self.norm = decoder.norm
        self.projection = Linear(model.proj_out)

    def begun(self, tokens: Tensor, places: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`~quantkit.models.layers.decoding.TokenDecoder.begun`; also the turns."""
        return self.embed_tokens(tokens), self.rotary_emb(places)

    def normed(self, hidden: Tensor) -> Tensor:
        """See :meth:`~quantkit.models.layers.decoding.TokenDecoder.normed`."""
        normed: Tensor = self.norm(hidden)
        return normed


class _Attention(SelfAttention):
    """Self-attention whose queries and keys are turned by their positions."""

    def __init__(self, attention: Any, pairs: int, heads: int) -> None:
        super().__init__(attention, lambda layer: _first_halves_first(layer, pairs, heads))
        self.heads = heads

    def states(self, hidden: Tensor, turns: Turns) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (batch, heads, count, head_size)."""
        query, key, value = (by_head(each, self.heads) for each in self.qkv(hidden).chunk(3, -1))
        return turned(query, turns), turned(key, turns), value


class _EncoderLayer(nn.Module):
    def __init__(self, layer: Any, pairs: int, heads: int) -> None:
        super().__init__()
        self.self_attn = _Attention(layer.self_attn, pairs, heads)
        self.input_layernorm = layer.input_layernorm
        self.activation = layer.mlp.activation_fn
        self.fc1, self.fc2 = Linear(layer.mlp.fc1), Linear(layer.mlp.fc2)
        self.post_attention_layernorm = layer.post_attention_layernorm

    def forward(self, hidden: Tensor, turns: Turns) -> Tensor:
        query, key, value = self.self_attn.states(self.input_layernorm(hidden), turns)
        scores = query @ key.transpose(2, 3)
        hidden = hidden + self.self_attn.out(merged(scores.softmax(-1) @ value))
        inner = self.activation(self.fc1(self.post_attention_layernorm(hidden)))
        result: Tensor = hidden + self.fc2(inner)
        return result


class _DecoderLayer(nn.Module):
    def __init__(self, layer: Any, pairs: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.self_attn = _Attention(layer.self_attn, pairs, heads)
        self.input_layernorm = layer.input_layernorm
        self.encoder_attn = CrossAttention(layer.encoder_attn)
        self.post_attention_layernorm = layer.post_attention_layernorm
        self.activation = layer.mlp.activation_fn
        self.fc1, self.fc2 = Linear(layer.mlp.fc1), Linear(layer.mlp.fc2)
        self.final_layernorm = layer.final_layernorm

    def forward(
        self,
        hidden: Tensor,
        turns: Turns,
        unseen: Tensor,
        past: Sequence[Tensor],
        cross: Sequence[Tensor],
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        query, key, value = self.self_attn.states(self.input_layernorm(hidden), turns)
        key, value = torch.cat((past[0], key), 2), torch.cat((past[1], value), 2)
        scores = query @ key.transpose(2, 3) + unseen
        hidden = hidden + self.self_attn.out(merged(scores.softmax(-1) @ value))
        normed = self.post_attention_layernorm(hidden)
        query = by_head(self.encoder_attn.query(normed), self.heads)
        heard = (query @ cross[0]).softmax(-1) @ cross[1]
        hidden = hidden + self.encoder_attn.out(merged(heard))
        inner, gate = self.fc1(self.final_layernorm(hidden)).chunk(2, -1)
        return hidden + self.fc2(self.activation(gate) * inner), (key, value)


def _first_halves_first(layer: nn.Linear, pairs: int, heads: int) -> nn.Linear:
    """``layer`` with the outputs of each head as (first of all pairs, second of them, the rest)."""
    size = layer.out_features // heads
    head = [*range(0, 2 * pairs, 2), *range(1, 2 * pairs, 2), *range(2 * pairs, size)]
    order = torch.tensor([size * number + place for number in range(heads) for place in head])
    arranged = nn.Linear(layer.in_features, layer.out_features, device="meta")
    arranged.weight = nn.Parameter(layer.weight.detach()[order], requires_grad=False)
    bias = None if layer.bias is None else layer.bias.detach()[order]
    arranged.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return arranged
