"""How long one run of each model takes, all models taking turns in one process.

Whatever slows the machine down for a while slows every model of a round, so ratios between models
are far steadier than times. Each round runs every model once, in an order that rotates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from quantkit.bench.schema import LatencyRow

# A pool's idle threads keep spinning (35 ms of CPU time with ONNX Runtime 1.31) and would take
# the core that the next model needs.
_SPIN_OUT_SECONDS = 0.05

_RESAMPLES = 1000


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


def time_in_turns(
    runs: Sequence[Callable[[], object]],
    *,
    batch_size: int,
    threads: int,
    effort: Effort,
    seed: int = 0,
) -> list[LatencyRow]:
    """Latency of each of ``runs``, which do one inference per call, in the same order.

    Args:
        runs: the first is what speed-ups are measured against.
        batch_size, threads: what the runs were prepared with; copied into the rows.
        effort: how many rounds.
        seed: of the bootstrap.
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
            begin = time.perf_counter()
            runs[index]()
            taken[index] = time.perf_counter() - begin
        rounds.append(taken)
    seconds = np.array(rounds)
    return [
        _row(seconds, index, batch_size=batch_size, threads=threads, seed=seed)
        for index in range(len(runs))
    ]


def _row(
    seconds: np.ndarray, index: int, *, batch_size: int, threads: int, seed: int
) -> LatencyRow:
    ratios = seconds[:, 0] / seconds[:, index]
    drawn = np.random.default_rng(seed).integers(0, len(ratios), (_RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.025, 0.975])
    p50, p95 = np.quantile(seconds[:, index] * 1000.0, [0.5, 0.95])
    return LatencyRow(
        batch_size=batch_size,
        threads=threads,
        p50=float(p50),
        p95=float(p95),
        runs=len(ratios),
        speedup=float(np.median(ratios)),
        speedup_ci=(float(low), float(high)),
    )
