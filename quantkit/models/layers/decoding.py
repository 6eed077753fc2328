"""Attention of encoders with a decoder that writes token by token, for export.

Matrices with the same input are merged (query, key and value; key and value of cross-attention), so
that an integer kernel quantizes that input once. Keys of the encoder are stored transposed, as each
step reads them.
"""

from __future__ import annotations

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
