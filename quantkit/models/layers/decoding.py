"""Attention of encoders with a decoder that writes token by token, for export.

Matrices with the same input are merged (query, key and value; key and value of cross-attention), so
that an integer kernel quantizes that input once. Keys of the encoder are stored transposed, as each
step reads them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from quantkit.models.layers.linear import Linear

#: Added to the scores of masked positions: their weight is 0 in float32.
UNSEEN = -1e9


class CrossStates(nn.Module):
    """Keys and values that a layer of the decoder attends to; part of the encoder's graph."""

    def __init__(self, attention: Any, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.key_value = stacked([attention.k_proj, attention.v_proj], [1.0, 1.0])

    def forward(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        key, value = self.key_value(heard).chunk(2, -1)
        return by_head(key, self.heads).transpose(2, 3), by_head(value, self.heads)


class SelfAttention(nn.Module):
    """The products of self-attention: ``qkv`` in front, ``out`` behind.

    Args:
        arranged: brings the outputs of queries and keys into another order.
    """

    def __init__(
        self, attention: Any, arranged: Callable[[nn.Linear], nn.Linear] = lambda layer: layer
    ) -> None:
        super().__init__()
        # The scale of the scores is part of the queries: it costs nothing there.
        layers = [arranged(attention.q_proj), arranged(attention.k_proj), attention.v_proj]
        self.qkv = stacked(layers, [attention.head_dim**-0.5, 1.0, 1.0])
        self.out = _out(attention)


class CrossAttention(nn.Module):
    """The products of cross-attention that a decoder computes: ``query`` and ``out``."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.query = stacked([attention.q_proj], [attention.head_dim**-0.5])
        self.out = _out(attention)


class TokenDecoder(nn.Module, ABC):
    """From tokens to the log-probabilities of the next one.

    A family embeds tokens, and says what its layers take beside hidden states, and which norm is
    the last. It has two modules:

    - ``layers``: each takes hidden states, what :meth:`begun` adds, scores of what is unseen, its
      keys and values of before and those of the encoder, and gives hidden states with its keys and
      values;
    - ``projection``: from hidden states to scores of all tokens.
    """

    layers: nn.ModuleList
    projection: Linear

    @abstractmethod
    def begun(self, tokens: Tensor, places: Tensor) -> tuple[Tensor, ...]:
        """The first hidden states, (batch, count, width), and what else all layers take.

        Args:
            tokens: (batch, count).
            places: of the tokens in the text, (count,).
        """

    @abstractmethod
    def normed(self, hidden: Tensor) -> Tensor:
        """Hidden states as they are projected."""

    def forward(
        self, tokens: Tensor, positions: Tensor, past: Sequence[Tensor], cross: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Log-probabilities of the next token at some positions.

        Args:
            tokens: (batch, count), the new ones.
            positions: (wanted,), positions in ``tokens`` to predict the next token for.
            past: keys and values of self-attention of each layer in turn,
                (batch, heads, past, head_size).
            cross: output of the encoder, for each clip or for one clip.

        Returns:
            log-probabilities (batch, wanted, vocabulary), and ``past`` with the new tokens.
        """
        before, count = past[0].shape[2], tokens.shape[1]
        places = torch.arange(count) + before
        hidden, *further = self.begun(tokens, places)
        # A new token attends to all past tokens, itself, and the new ones before it.
        unseen = torch.where(torch.arange(before + count) > places[:, None], UNSEEN, 0.0)
        present: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            at = slice(2 * index, 2 * index + 2)
            hidden, states = layer(hidden, *further, unseen, past[at], cross[at])
            present += states
        chosen = self.normed(hidden.index_select(1, positions))
        return self.projection(chosen).log_softmax(-1), present


def _out(attention: Any) -> Linear:
    """Families call it differently."""
    return Linear(getattr(attention, "out_proj", None) or attention.o_proj)


def by_head(values: Tensor, heads: int) -> Tensor:
    """(batch, count, heads · size) → (batch, heads, count, size)."""
    split: Tensor = values.unflatten(-1, (heads, -1))
    return split.transpose(1, 2)


def merged(values: Tensor) -> Tensor:
    """The inverse of :func:`by_head`."""
    return values.transpose(1, 2).flatten(2)


def stacked(layers: Sequence[nn.Linear], scales: Sequence[float]) -> Linear:
    """One matrix for several with the same input; the bias that one of them lacks is zero."""
    first = layers[0]
    has_bias = any(layer.bias is not None for layer in layers)
    outputs = sum(layer.out_features for layer in layers)
    result = nn.Linear(first.in_features, outputs, has_bias)
    weights = [layer.weight * scale for layer, scale in zip(layers, scales, strict=True)]
    biases = [
        torch.zeros(layer.out_features) if layer.bias is None else layer.bias * scale
        for layer, scale in zip(layers, scales, strict=True)
    ]
    result.weight = nn.Parameter(torch.cat(weights).detach(), requires_grad=False)
    if has_bias:
        result.bias = nn.Parameter(torch.cat(biases).detach(), requires_grad=False)
    return Linear(result)
