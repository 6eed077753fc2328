"""Whisper for export: the log-probabilities of every token from the audio and earlier tokens.

The weights are those of ``transformers.WhisperForConditionalGeneration``; only the structure
differs. Matrices with the same input are merged (query, key and value; key and value of
cross-attention), so that an integer kernel quantizes that input once. Past keys and values are
inputs of any length, including 0, so that one decoder serves the first step and all others. Keys of
the encoder are stored transposed, as each step reads them.
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


class WhisperEncoder(nn.Module):
    """From a spectrogram to the keys and values of cross-attention.

    Args:
        model: in evaluation mode; its tensors are shared, except for the merged matrices.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        encoder, heads = model.model.encoder, int(model.config.encoder_attention_heads)
        self.conv1, self.conv2 = encoder.conv1, encoder.conv2
        self.embed_positions = _Positions(encoder.embed_positions.weight)
        self.layers = nn.ModuleList(_EncoderLayer(layer, heads) for layer in encoder.layers)
        self.layer_norm = encoder.layer_norm
        self.cross_attention = nn.ModuleList(
            CrossStates(layer.encoder_attn, int(model.config.decoder_attention_heads))
            for layer in model.model.decoder.layers
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        """Keys (clips, heads, head_size, frames // 2) and values (clips, heads, frames // 2,
        head_size) of each layer in turn, from ``features`` (clips, mel_bands, frames)."""
        hidden = functional.gelu(self.conv1(features))
        hidden = functional.gelu(self.conv2(hidden)).transpose(1, 2)
        hidden = hidden + self.embed_positions(hidden.shape[1])
        for layer in self.layers:
            hidden = layer(hidden)
        heard = self.layer_norm(hidden)
        return [state for layer in self.cross_attention for state in layer(heard)]


class WhisperDecoder(TokenDecoder):
    """From tokens to the log-probabilities of the next one.

    Args:
        model: as for the encoder.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        decoder, heads = model.model.decoder, int(model.config.decoder_attention_heads)
        self.embed_tokens = decoder.embed_tokens
        # A look-up instead of a slice, so that it is stored as an embedding.
        self.embed_positions = nn.Embedding.from_pretrained(decoder.embed_positions.weight.detach())
        self.layers = nn.ModuleList(_DecoderLayer(layer, heads) for layer in decoder.layers)
        self.layer_norm = decoder.layer_norm
        self.projection = Linear(model.proj_out)

    def begun(self, tokens: Tensor, places: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`~quantkit.models.layers.decoding.TokenDecoder.begun`."""
        return (self.embed_tokens(tokens) + self.embed_positions(places),)

    def normed(self, hidden: Tensor) -> Tensor:
        """See :meth:`~quantkit.models.layers.decoding.TokenDecoder.normed`."""
        normed: Tensor = self.layer_norm(hidden)
        return normed


class _Positions(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)

    def forward(self, count: int) -> Tensor:
        first: Tensor = self.weight[:count]
        return first


class _EncoderLayer(nn.Module):
    def __init__(self, layer: Any, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.self_attn = SelfAttention(layer.self_attn)
        self.self_attn_norm = layer.self_attn_layer_norm
        self.fc1, self.fc2 = Linear(layer.fc1), Linear(layer.fc2)
        self.final_norm = layer.final_layer_norm

    def forward(self, hidden: Tensor) -> Tensor:
        query, key, value = (
            by_head(each, self.heads)
            for each in self.self_attn.qkv(self.self_attn_norm(hidden)).chunk(3, -1)
        )
        scores = query @ key.transpose(2, 3)
        hidden = hidden + self.self_attn.out(merged(scores.softmax(-1) @ value))
        inner = functional.gelu(self.fc1(self.final_norm(hidden)))
        result: Tensor = hidden + self.fc2(inner)
        return result


class _DecoderLayer(nn.Module):
    def __init__(self, layer: Any, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.self_attn = SelfAttention(layer.self_attn)
        self.self_attn_norm = layer.self_attn_layer_norm
        self.cross_attn = CrossAttention(layer.encoder_attn)
        self.cross_attn_norm = layer.encoder_attn_layer_norm
        self.fc1, self.fc2 = Linear(layer.fc1), Linear(layer.fc2)
        self.final_norm = layer.final_layer_norm

    def forward(
        self, hidden: Tensor, unseen: Tensor, past: Sequence[Tensor], cross: Sequence[Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        query, key, value = (
            by_head(each, self.heads)
            for each in self.self_attn.qkv(self.self_attn_norm(hidden)).chunk(3, -1)
        )
        key, value = torch.cat((past[0], key), 2), torch.cat((past[1], value), 2)
        scores = query @ key.transpose(2, 3) + unseen
        hidden = hidden + self.self_attn.out(merged(scores.softmax(-1) @ value))
        query = by_head(self.cross_attn.query(self.cross_attn_norm(hidden)), self.heads)
        scores = query @ cross[0]
        hidden = hidden + self.cross_attn.out(merged(scores.softmax(-1) @ cross[1]))
        inner = functional.gelu(self.fc1(self.final_norm(hidden)))
        return hidden + self.fc2(inner), (key, value)
