"""Models of one run compared with its first: paired differences, and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

from quantkit.benchmarking.schema import BenchReport, ModelResult
from quantkit.report.formatting import Interval, signed
from quantkit.text.distances import bootstrap_interval


def paired_difference(
    model: ModelResult, first: ModelResult, seed: int
) -> tuple[float, Interval] | None:
    """Mean of ``distance - first's distance`` over utterances, with its 95 % interval.

    Hard clips are hard for both models, so this has a far smaller variance than the two means.
    ``None`` without transcripts.
    """
    if not model.utterances:
        return None
    before = {u.id: u.distance for u in first.utterances}
    differences = [float(u.distance - before[u.id]) for u in model.utterances]
    mean = sum(differences) / len(differences)
    return mean, bootstrap_interval(differences, seed=seed)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other point dominates, by ascending first coordinate.

    A point is dominated by another that is equal in one coordinate and better in the other.

    >>> pareto_front([(4.0, 1.0), (1.0, 3.0), (2.0, 3.5), (2.0, 2.0)])
    [1, 3, 0]
    """
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: points[i]):
        if not front or points[index][1] < points[front[-1]][1]:
            front.append(index)
    return front


def verdict(model: ModelResult, report: BenchReport) -> str:
    """One model compared with the run's first, in one sentence."""
    first = report.models[0]
    parts = [
        f"{first.size_bytes / model.size_bytes:.1f}× smaller"
        if model.size_bytes <= first.size_bytes
        else f"{model.size_bytes / first.size_bytes:.1f}× larger",
        f"{model.speedup:.1f}× faster"
        if model.speedup >= 1
        else f"{1 / model.speedup:.1f}× slower",
    ]
    difference = paired_difference(model, first, report.seed)
    if difference is not None:
        mean, (low, high) = difference
        share = 100 * mean / first.levenshtein if first.levenshtein else None
        if low <= 0 <= high:
            relative = "" if share is None else f" (edits {signed(share, 1)} %; + is worse)"
            parts.append(f"accuracy not measurably different{relative}")
        else:
            word = "worse" if mean > 0 else "better"
            relative = "" if share is None else f" ({abs(share):.1f} %)"
            parts.append(f"{abs(mean):.2f} edits per utterance {word}{relative}")
    return ", ".join(parts)
