"""Timing several things fairly: they take turns.

Whatever slows the machine down for a while slows every one of a round, so their ratios are far
steadier than their times. Each round runs every one once, in an order that rotates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# A pool's idle threads keep spinning (35 ms of CPU time with ONNX Runtime 1.31) and would take
# the core that the next model needs.
_SPIN_OUT_SECONDS = 0.05


@dataclass(frozen=True)
class Effort:
    """How many rounds are run.

    Args:
        rounds: at most this many.
        min_rounds: at least this many, however long they take.
        seconds: no new round starts after this time, once ``min_rounds`` are done.
    """

    rounds: int = 30
    min_rounds: int = 3
    seconds: float = 3.0


def interleaved_seconds(
    runs: Sequence[Callable[[], object]],
    *,
    threads: int,
    effort: Effort,
    clock: Callable[[], float] = time.perf_counter,
) -> npt.NDArray[np.float64]:
    """Time of each of ``runs`` in each round: (rounds, runs), in seconds.

    Each is called once before, uncounted.

    Args:
        threads: that a run uses; between runs of several, their pools are given time to rest.
        effort: how many rounds.
        clock: measures the time of a run; wall time by default.
    """
    for run in runs:
        run()
    rounds: list[list[float]] = []
    started = time.perf_counter()
    while len(rounds) < effort.rounds and (
        len(rounds) < effort.min_rounds or time.perf_counter() - started < effort.seconds
    ):
        taken = [0.0] * len(runs)
        for turn in range(len(runs)):
            index = (turn + len(rounds)) % len(runs)
            if threads != 1:
                time.sleep(_SPIN_OUT_SECONDS)
            begin = clock()
            runs[index]()
            taken[index] = clock() - begin
        rounds.append(taken)
    return np.array(rounds)
