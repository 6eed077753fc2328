"""Rotary positions (Su et al., "RoFormer: Enhanced transformer with rotary position embedding",
2021, section 3.2.2).
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

from quantkit.models.layers.source import Source

#: Cosines and sines of angles, (positions, pairs) each.
Turns: TypeAlias = tuple[Tensor, Tensor]


class RotaryAngles(nn.Module):
    """The angles by which the channels of each position are turned.

    Args:
        source: has ``inv_freq`` (pairs,) and ``attention_scaling``.
    """

    frequencies: Tensor

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.register_buffer("frequencies", source.inv_freq)
        self.scaling = float(source.attention_scaling)

    @property
    def pairs(self) -> int:
        """Pairs of channels of a head that positions turn; the others stay."""
        return len(self.frequencies)

    def forward(self, positions: Tensor) -> Turns:
        angles = positions[:, None].float() * self.frequencies
        cosines, sines = torch.cos(angles), torch.sin(angles)
        if self.scaling != 1.0:
            cosines, sines = cosines * self.scaling, sines * self.scaling
        return cosines, sines


def turned(values: Tensor, turns: Turns) -> Tensor:
    """Queries or keys at their positions.

    Args:
        values: (batch, heads, positions, head_size): the first channels of all pairs, the second
            ones, and those that stay.
    """
    cosines, sines = turns
    pairs = cosines.shape[1]
    first, second = values[..., :pairs], values[..., pairs : 2 * pairs]
    parts = [first * cosines - second * sines, second * cosines + first * sines]
    if values.shape[-1] > 2 * pairs:
        parts.append(values[..., 2 * pairs :])
    return torch.cat(parts, -1)
