"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from quantkit.training.recipe import OptimizerSettings

_FINAL_SHARE = 0.01
_SGD_MOMENTUM = 0.9


def make_optimizer(model: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """Adam, AdamW or SGD with Nesterov momentum.

    Biases and normalisation weights are not decayed, because decay would only shift their optimum.
    """
    decayed = [p for p in model.parameters() if p.ndim > 1]
    kept = [p for p in model.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    rate = settings.learning_rate
    if settings.name == "sgd":
        return SGD(groups, lr=rate, momentum=_SGD_MOMENTUM, nesterov=True, fused=True)
    if settings.name == "adam":
        return Adam(groups, lr=rate, fused=True)
    return AdamW(groups, lr=rate, fused=True)


class Schedule:
    """Sets the learning rate before every step.

    The one-cycle rate depends on ``step / steps`` only, so a run that is resumed with another
    number of steps follows the new curve from there.
    """

    def __init__(self, optimizer: Optimizer, settings: OptimizerSettings, steps: int) -> None:
        self._optimizer = optimizer
        self._settings = settings
        self._steps = steps
        self._plateau = (
            ReduceLROnPlateau(
                optimizer, patience=settings.plateau_patience, factor=settings.plateau_factor
            )
            if settings.schedule == "plateau"
            else None
        )

    @property
    def learning_rate(self) -> float:
        """The current rate."""
        return float(self._optimizer.param_groups[0]["lr"])

    def before_step(self, step: int) -> None:
        """Set the rate of step ``step``, counted from 0."""
        self.set_share(step / max(1, self._steps))

    def set_share(self, progress: float) -> None:
        """Set the rate behind that share of a one-cycle run; others are left as they are."""
        if self._settings.schedule != "one-cycle":
            return
        share = one_cycle(progress, self._settings.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * share

    def after_validation(self, error: float) -> None:
        """Update the plateau schedule with the validation error."""
        if self._plateau is not None:
            self._plateau.step(error)

    def state_dict(self) -> dict[str, Any]:
        """State of a resumed run; empty except for the plateau schedule."""
        return {} if self._plateau is None else self._plateau.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        if self._plateau is not None and state:
            self._plateau.load_state_dict(state)


def one_cycle(progress: float, warmup: float) -> float:
    """Rate relative to its peak: linear rise, then a half cosine down to 1 % (Smith 2018)."""
    if progress < warmup:
        return max(_FINAL_SHARE, progress / warmup)
    position = min(1.0, (progress - warmup) / max(1e-9, 1.0 - warmup))
    return _FINAL_SHARE + (1.0 - _FINAL_SHARE) * 0.5 * (1.0 + math.cos(math.pi * position))
