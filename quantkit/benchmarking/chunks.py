"""Latency of single chunks of models that hear in chunks, interleaved in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.benchmarking.schema import ChunkLatency
from quantkit.runtime.speech_model import SpeechModel

# Of the clip, one chunk after the other; the first one of each is not counted.
_FEWEST, _ROUNDS = 40, 5


def time_chunks(
    models: Sequence[SpeechModel],
    clips: Sequence[FloatArray],
    clock: Callable[[], float] = time.perf_counter,
) -> list[ChunkLatency | None]:
    """What one chunk costs each model; None for one that hears whole clips.

    The models take turns, chunk by chunk of one clip.

    Args:
        clips: the same clip, as each of the models takes it.
        clock: measures the time of a run; wall time by default.
    """
    seconds: list[list[float]] = [[] for _ in models]
    for _ in range(_ROUNDS):
        steps = [model.chunk_steps(clip) for model, clip in zip(models, clips, strict=True)]
        for number in range(max(map(len, steps), default=0)):
            for index in range(len(models)):
                which = (index + number) % len(models)
                if number < len(steps[which]):
                    begin = clock()
                    steps[which][number]()
                    taken = clock() - begin
                    if number:
                        seconds[which].append(taken)
        if min((len(each) for each in seconds if each), default=_FEWEST) >= _FEWEST:
            break
    return [_row(model, np.array(each)) for model, each in zip(models, seconds, strict=True)]


def _row(model: SpeechModel, seconds: np.ndarray) -> ChunkLatency | None:
    if not seconds.size:
        return None
    p50, p95 = np.quantile(seconds * 1000.0, [0.5, 0.95])
    return ChunkLatency(
        seconds=model.chunk_seconds,
        look_ahead_seconds=model.look_ahead_seconds,
        p50=float(p50),
        p95=float(p95),
        rtf=float(seconds.mean()) / model.chunk_seconds,
        runs=len(seconds),
    )
