"""How a quantized model is trained."""

from __future__ import annotations

from dataclasses import dataclass

from quantkit.errors import InputError
from quantkit.finetuning.names import SCHEDULES, ScheduleName
from quantkit.json_fields import Range
from quantkit.training.recipe import Precision

_RANGES = {
    "minutes": Range(0, above=True),
    "learning_rate": Range(0, above=True),
    "scale_rate": Range(0),
    "ctc_weight": Range(0),
    "batch_seconds": Range(0, above=True),
    "refresh_every": Range(1),
}


@dataclass(frozen=True)
class FinetuneSettings:
    """Length, learning rates and losses of a run.

    Args:
        minutes: that it takes, waiting for the processor included; what comes before and after,
            such as calibration and writing the file, comes on top.
        steps: ends the run earlier; None: time alone does.
        learning_rate: peak of weights, in shares of their channel's root mean square per step, and
            of biases, in shares of their layer's.
        scale_rate: peak of scales and tables, in shares of their first values.
        ctc_weight: of the loss of CTC or ASG beside the divergence, where there are transcripts;
            both are in nats per frame.
        batch_seconds: of audio in a batch, padding included.
        refresh_every: steps after which ``rice`` finds the price of a bit, and codecs without a
            form of their own encode the weights, anew.
        schedule: how weights get to their levels: all ``together``, ``incremental`` part by part,
            or within the range of the grid as in ``binary-connect`` and its ``stochastic`` form;
            see :mod:`quantkit.finetuning.schedules`.
        parts: shares of the weights that are fixed one after the other, of an incremental run.
        precision: ``auto`` uses bfloat16 for products where the processor has it.
        seed: of the order of clips and of masks.

    Raises:
        InputError: a value out of range.
    """

    minutes: float = 30.0
    steps: int | None = None
    learning_rate: float = 1e-2
    scale_rate: float = 1e-3
    ctc_weight: float = 0.3
    batch_seconds: float = 60.0
    refresh_every: int = 20
    schedule: ScheduleName = "together"
    parts: tuple[float, ...] = (0.5, 0.75, 0.875, 1.0)
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in _RANGES.items():
            if problem := allowed.problem_of(getattr(self, name)):
                raise InputError(f"{name} {problem}, not {getattr(self, name):g}")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"steps must be at least 1, not {self.steps}")
        if self.schedule not in SCHEDULES:
            raise InputError(
                f"unknown schedule {self.schedule!r}; choose of {', '.join(SCHEDULES)}"
            )
        rising = all(a < b for a, b in zip((0.0, *self.parts), self.parts, strict=False))
        if not self.parts or not rising or self.parts[-1] != 1.0:
            raise InputError(f"parts must rise from above 0 and end at 1, not {self.parts}")
