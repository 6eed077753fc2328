"""Rounding of weights to levels, and what gradients take it for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

#: Up to so many borders, comparing with each is faster than searching.
_FEW_BORDERS = 15


class _StraightThrough(Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, levels: Tensor, lowest: Tensor, highest: Tensor
    ) -> Tensor:
        ctx.save_for_backward((values >= lowest) & (values <= highest))
        return levels.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (within,) = ctx.saved_tensors
        return gradient * within, gradient, None, None


def straight_through(values: Tensor, levels: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """``levels``, with gradients as if they were ``values`` (Bengio, Léonard and Courville 2013).

    Args:
        values: what was rounded.
        levels: of the same shape, which get gradients of their own.
        lowest, highest: of the values that get a gradient; they broadcast.
    """
    apply: Callable[..., Tensor] = _StraightThrough.apply
    return apply(values, levels, lowest, highest)


def codes_of(values: Tensor, borders: Tensor) -> Tensor:
    """How many of its row's borders lie below each value: int64 in the shape of ``values``.

    Args:
        values: (rows, columns).
        borders: (rows, borders), ascending.
    """
    if borders.shape[1] > _FEW_BORDERS:
        return torch.searchsorted(borders, values.contiguous())
    codes = torch.zeros(values.shape, dtype=torch.uint8)
    for column in borders.unbind(dim=1):
        codes += values > column[:, None]
    return codes.long()
