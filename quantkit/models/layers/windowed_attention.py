"""Self-attention that sees so many steps before and behind each, in time that grows with a clip's
length alone.

The steps are cut into blocks. A block's queries meet the keys that any of them may see, and those
that one may not are masked, so a block of B steps costs B · (B + before + behind) scores
(Beltagy et al., "Longformer", 2020, section 3.2, of one dimension).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from quantkit.models.layers.decoding import UNSEEN

#: Steps that are seen before one, itself left out, and behind it.
Sight: TypeAlias = tuple[int, int]


class Blocks(NamedTuple):
    """How the steps of a clip are cut, the same for all layers of one sight.

    Args:
        size: steps of a block.
        number: of blocks.
        keys: (number · (size + before + behind),), which of the padded steps each block's keys are.
        unseen: (number, size, size + before + behind), added to scores.
        sight: see :data:`Sight`.
    """

    size: int
    number: int
    keys: Tensor
    unseen: Tensor
    sight: Sight

    @classmethod
    def of(cls, steps: int, sight: Sight) -> Blocks:
        """Those of a clip of so many steps."""
        before, behind = sight
        size = max(before, behind) + 1
        number = (steps + size - 1) // size
        starts = torch.arange(number) * size
        # Counted from the first of the zeros before the clip.
        keys = starts[:, None] + torch.arange(size + before + behind)
        step = keys - before
        distance = step[:, None, :] - (starts[:, None] + torch.arange(size))[:, :, None]
        seen = (distance >= -before) & (distance <= behind)
        inside = (step >= 0) & (step < steps)
        # A step behind the clip sees itself, so that no row is empty; nobody reads it.
        seen = seen & (inside[:, None, :] | (distance == 0))
        return cls(size, number, keys.flatten(), torch.where(seen, 0.0, UNSEEN), sight)


def attend(query: Tensor, key: Tensor, value: Tensor, blocks: Blocks) -> Tensor:
    """What each step makes of those it sees, (batch, heads, steps, head_size).

    Args:
        query, key, value: (batch, heads, steps, head_size), queries with the scores' scale.
    """
    steps = query.shape[2]
    before, behind = blocks.sight
    # Enough for the last block, however many of its steps are none of the clip.
    surplus = blocks.size - 1
    asked = functional.pad(query, (0, 0, 0, surplus))[:, :, : blocks.number * blocks.size]
    asked = asked.unflatten(2, (blocks.number, blocks.size))
    keys, values = (
        functional.pad(each, (0, 0, before, behind + surplus))
        .index_select(2, blocks.keys)
        .unflatten(2, (blocks.number, blocks.size + before + behind))
        for each in (key, value)
    )
    scores = asked @ keys.transpose(3, 4) + blocks.unseen
    mixed: Tensor = (scores.softmax(-1) @ values).flatten(2, 3)
    return mixed[:, :, :steps]
