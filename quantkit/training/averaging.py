"""Moving average of a model's weights, which varies less than the weights of single steps."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


class WeightAverage(Generic[Model]):
    """An exponential moving average (Polyak and Juditsky 1992) that begins as ``model``.

    The decay rises to ``decay`` in the first steps, so that the random initial weights have little
    influence. Statistics of batch norm are averaged like weights. Buffers that are not stored in a
    checkpoint are unchanged.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.model = copy.deepcopy(model)
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, model: Model) -> None:
        """Update the average with the weights after a step."""
        self._updates += 1
        decay = min(self._decay, (1.0 + self._updates) / (10.0 + self._updates))
        averages, weights = self.model.state_dict(), model.state_dict()
        for name, average in averages.items():
            if average.is_floating_point():
                average.lerp_(weights[name], 1.0 - decay)
            else:
                average.copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        """State of a resumed run."""
        return {"model": self.model.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
        self._updates = int(state["updates"])
