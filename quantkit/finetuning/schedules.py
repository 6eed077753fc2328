"""How the weights of a model get to the grids that its file will hold, in the course of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch

from quantkit.errors import InputError
from quantkit.finetuning.names import ScheduleName
from quantkit.finetuning.student import Student
from quantkit.training.optimizers import one_cycle

_WARMUP = 0.05
#: Share of the run that is left when the last part is fixed, for scales and biases.
_LAST = 0.1


class GridSchedule:
    """What happens to the weights of ``student`` before and after each step.

    Args:
        student: is trained.
        parts: shares of the weights that are fixed, one after the other, the last of them 1.
        seed: of what is drawn.
    """

    def __init__(self, student: Student, parts: Sequence[float], seed: int) -> None:
        self.student, self.parts, self.seed = student, tuple(parts), seed

    def begin(self) -> None:
        """Called once, after the model was validated as it was quantized first."""
        return

    def before_step(self, step: int, share: float) -> float:
        """Prepare a step; returns its learning rate relative to the peak.

        Args:
            step: its number.
            share: of the run that is done.
        """
        return one_cycle(share, _WARMUP)

    def after_step(self) -> None:
        """Called when the optimizer has moved the weights."""
        return

    def finish(self) -> None:
        """Called at the end: every weight is on its grid then."""
        return


class Together(GridSchedule):
    """All weights on their nearest levels in every step, with the gradient of the identity."""


class Incremental(GridSchedule):
    """Part by part: Zhou et al., "Incremental Network Quantization", 2017, algorithm 1.

    Training begins at the float weights. A share of each layer's weights, those of largest
    magnitude, is rounded and fixed, and the others are trained as floats to make up for it; then
    the next share is fixed, until none is left. Each part has a learning rate of its own that rises
    and falls. Other than in the paper, the integers are fixed, and scales are learned to the end.
    """

    def __init__(self, student: Student, parts: Sequence[float], seed: int) -> None:
        super().__init__(student, parts, seed)
        for name, weight in student.weights.items():
            if weight.encodes_now_and_then:
                raise InputError(
                    f"layer {name}: codec {weight.codec.name} has no levels that can be fixed one "
                    "by one; use the schedule together, or another codec, such as powers:4"
                )
            weight.can_be_fixed()
            weight.form = "as it is"
        each = (1.0 - _LAST) / max(1, len(parts) - 1)
        self._starts = [min(number * each, 1.0 - _LAST) for number in range(len(parts))]
        if len(parts) == 1:
            self._starts = [0.0]

    def begin(self) -> None:
        """Return to the float weights and biases."""
        self.student.return_to_float()

    def before_step(self, step: int, share: float) -> float:
        """Fix the next part where it is due."""
        number = sum(share >= start for start in self._starts) - 1
        for weight in self.student.weights.values():
            weight.fix(self.parts[number])
        start, end = self._starts[number], [*self._starts[1:], 1.0][number]
        return one_cycle((share - start) / (end - start), _WARMUP)

    def finish(self) -> None:
        """Fix what is left, if the best model was an early one."""
        for weight in self.student.weights.values():
            weight.fix(1.0)


class BinaryConnect(GridSchedule):
    """Weights never leave the range of their levels (Courbariaux et al., 2015, section 2.4).

    A weight far beyond the outermost level would get no gradient and never change its sign again.
    The paper does it for one bit; it is done for grids of any number of levels here.
    """

    def after_step(self) -> None:
        """Clip the weights."""
        for weight in self.student.weights.values():
            weight.clip()


class Stochastic(BinaryConnect):
    """The same, and levels are drawn: a weight is the mean of what stands for it in a step.

    For one bit it is the stochastic binarization of Courbariaux et al., 2015, equation 2. The file
    holds the nearest levels.
    """

    def __init__(self, student: Student, parts: Sequence[float], seed: int) -> None:
        super().__init__(student, parts, seed)
        self._generator = torch.Generator()
        for weight in student.weights.values():
            weight.form, weight.generator = "drawn", self._generator

    def before_step(self, step: int, share: float) -> float:
        """Draw what a run without an interruption would draw."""
        self._generator.manual_seed(self.seed + (step << 16))
        return super().before_step(step, share)


_SCHEDULES: Mapping[ScheduleName, Callable[..., GridSchedule]] = MappingProxyType(
    {
        "together": Together,
        "incremental": Incremental,
        "binary-connect": BinaryConnect,
        "stochastic": Stochastic,
    }
)


def make_schedule(
    name: ScheduleName, student: Student, parts: Sequence[float], seed: int
) -> GridSchedule:
    """The schedule called ``name``; see :class:`GridSchedule`.

    Raises:
        InputError: a codec of the student cannot be trained by it.
    """
    return _SCHEDULES[name](student, parts, seed)
