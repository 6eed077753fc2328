"""Measure whether transcripts depend on the other clips of a batch.

A dynamic activation range is computed over the whole padded batch, so a loud clip coarsens the grid
of a quiet one. A static range is fixed. The source work's errors grew by a third from batch size 8
to 64; this sweep shows for each transcript whether ours do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from quantkit.benchmarking.accuracy import Clip, Step
from quantkit.benchmarking.contestant import BenchModel
from quantkit.benchmarking.schema import BatchRow
from quantkit.runtime.speech_model import Output
from quantkit.text.distances import levenshtein


def sweep_batch_sizes(
    contestants: Sequence[BenchModel],
    clips: Sequence[Clip],
    batch_sizes: Sequence[int],
    step: Step,
) -> list[tuple[BatchRow, ...]]:
    """Recognise the same clips, in the same order, in batches of every size.

    Args:
        contestants: the models.
        clips: of different length, all in memory.
        batch_sizes: batch size 1 is run too, as the reference, and comes first in the result.
        step: called after each model and batch size.

    Returns:
        for each model one row per batch size.
    """
    sizes = sorted({1, *batch_sizes})
    results = []
    for index, contestant in enumerate(contestants):
        model = contestant.model
        rows: list[BatchRow] = []
        alone: list[tuple[Output, str]] = []
        for position, size in enumerate(sizes):
            begin = time.perf_counter()
            outputs = [
                output
                for start in range(0, len(clips), size)
                for output in model.outputs(
                    [clip.inputs[index] for clip in clips[start : start + size]]
                )
            ]
            seconds = time.perf_counter() - begin
            if alone:
                # Beam search takes longer than the model; the same input gives the same text.
                texts = [
                    text if np.array_equal(output, before) else model.text_of(output)
                    for output, (before, text) in zip(outputs, alone, strict=True)
                ]
            else:
                texts = [model.text_of(output) for output in outputs]
                alone = list(zip(outputs, texts, strict=True))
            rows.append(
                BatchRow(
                    batch_size=size,
                    utterances=len(clips),
                    identical=sum(a == b for a, (_, b) in zip(texts, alone, strict=True)),
                    levenshtein=_mean_distance(contestant, clips, texts),
                    seconds=seconds,
                )
            )
            step(index * len(sizes) + position + 1, len(contestants) * len(sizes))
        results.append(tuple(rows))
    return results


def _mean_distance(
    contestant: BenchModel, clips: Sequence[Clip], texts: Sequence[str]
) -> float | None:
    scoring = contestant.scoring
    distances = [
        levenshtein(
            scoring.units(clip.reference), scoring.units(scoring.heard(text, clip.language))
        )
        for clip, text in zip(clips, texts, strict=True)
        if clip.reference is not None
    ]
    return sum(distances) / len(distances) if distances else None
