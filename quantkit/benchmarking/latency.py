"""Latency of one run of each model, interleaved in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quantkit.benchmarking.schema import LatencyRow
from quantkit.runtime.interleaved import Effort, interleaved_seconds

_RESAMPLES = 1000


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
        batch_size, threads: of the prepared runs; copied into the rows.
        effort: number of rounds.
        seed: of the bootstrap.
    """
    seconds = interleaved_seconds(runs, threads=threads, effort=effort)
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
