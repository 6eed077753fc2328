"""Names that a command line offers without PyTorch."""

from __future__ import annotations

from typing import Literal, get_args

#: How weights get to their levels; see :mod:`quantkit.finetuning.schedules`.
ScheduleName = Literal["together", "incremental", "binary-connect", "stochastic"]
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)
