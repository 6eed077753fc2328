"""Canary for export (Puvvada et al., "Less is More: Accurate Speech Recognition & Translation
without Web-Scale Data", 2024): the log-probabilities of every token from features and earlier
tokens.

The weights are those of ``transformers.CanaryForConditionalGeneration``; the structure differs as
in :mod:`quantkit.models.whisper.network`. The encoder hears clips of one length, without a mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from quantkit.models.layers.decoding import (
    CrossAttention,
    CrossStates,
    SelfAttention,
    TokenDecoder,
    by_head,
    merged,
)
from quantkit.models.layers.fast_conformer import FastConformerEncoder
from quantkit.models.layers.linear import Linear


class CanaryEncoder(nn.Module):
    """From features to the keys and values of cross-attention.

    Args:
        model: in evaluation mode; its tensors are shared, except for the merged matrices.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = FastConformerEncoder(model.model.encoder)
        heads = int(model.config.decoder_config.num_attention_heads)
        self.cross_attention = nn.ModuleList(
            CrossStates(layer.encoder_attn, heads) for layer in model.model.decoder.layers
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        """Keys (clips, heads, head_size, steps) and values (clips, heads, steps, head_size) of each
        layer in turn, from ``features`` (clips, frames, bands) of clips of one length."""
        heard = self.encoder.whole_clips(features)
        return [state for layer in self.cross_attention for state in layer(heard)]


class CanaryDecoder(TokenDecoder):
    """From tokens to the log-probabilities of the next one.

    Args:
        model: as for the encoder.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        decoder, config = model.model.decoder, model.config.decoder_config
        self.embed_tokens = decoder.embed_tokens
        self.embed_positions = _Positions(int(config.hidden_size))
        self.embedding_layernorm = decoder.embedding_layernorm
        heads = int(config.num_attention_heads)
        self.layers = nn.ModuleList(_DecoderLayer(layer, heads) for layer in decoder.layers)
        self.norm = decoder.norm
        self.projection = Linear(model.proj_out)

    def begun(self, tokens: Tensor, places: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`~quantkit.models.layers.decoding.TokenDecoder.begun`."""
        embedded = self.embed_tokens(tokens) + self.embed_positions(places)
        return (self.embedding_layernorm(embedded),)

    def normed(self, hidden: Tensor) -> Tensor:
        """See :meth:`~quantkit.models.layers.decoding.TokenDecoder.normed`."""
        normed: Tensor = self.norm(hidden)
        return normed


class _Positions(nn.Module):
    """Sines and cosines, divided by the root of the width, computed instead of stored.

    As NeMo's ``FixedPositionalEncoding`` has them (Vaswani et al., "Attention Is All You Need",
    2017, section 3.5), but with all sines before all cosines.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        step = math.log(10_000.0) * (width - 2) / width / (width // 2 - 1)
        self.register_buffer("frequencies", torch.exp(-step * torch.arange(width // 2).float()))
        self.scale = width**-0.5

    def forward(self, positions: Tensor) -> Tensor:
        angles = positions[:, None].float() * self.frequencies
        waves: Tensor = self.scale * torch.cat((torch.sin(angles), torch.cos(angles)), 1)
        return waves


class _DecoderLayer(nn.Module):
    def __init__(self, layer: Any, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.self_attn = SelfAttention(layer.self_attn)
        self.input_layernorm = layer.input_layernorm
        self.encoder_attn = CrossAttention(layer.encoder_attn)
        self.post_attention_layernorm = layer.post_attention_layernorm
        self.activation = layer.mlp.activation_fn
        self.fc1, self.fc2 = Linear(layer.mlp.fc1), Linear(layer.mlp.fc2)
        self.final_layernorm = layer.final_layernorm

    def forward(
        self, hidden: Tensor, unseen: Tensor, past: Sequence[Tensor], cross: Sequence[Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        query, key, value = (
            by_head(each, self.heads)
            for each in self.self_attn.qkv(self.input_layernorm(hidden)).chunk(3, -1)
        )
        key, value = torch.cat((past[0], key), 2), torch.cat((past[1], value), 2)
        scores = query @ key.transpose(2, 3) + unseen
        hidden = hidden + self.self_attn.out(merged(scores.softmax(-1) @ value))
        normed = self.post_attention_layernorm(hidden)
        query = by_head(self.encoder_attn.query(normed), self.heads)
        heard = (query @ cross[0]).softmax(-1) @ cross[1]
        hidden = hidden + self.encoder_attn.out(merged(heard))
        inner = self.activation(self.fc1(self.final_layernorm(hidden)))
        result: Tensor = hidden + self.fc2(inner)
        return result, (key, value)
