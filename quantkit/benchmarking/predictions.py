"""Selected predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantkit.benchmarking.schema import UtteranceResult


@dataclass(frozen=True)
class Selection:
    """The best, typical and worst utterances of one model."""

    best: tuple[UtteranceResult, ...]
    average: tuple[UtteranceResult, ...]
    worst: tuple[UtteranceResult, ...]


def select_predictions(utterances: Sequence[UtteranceResult], count: int = 5) -> Selection:
    """``count`` utterances each with the lowest, most typical and highest edit distance.

    Among equals the longer reference comes first. Typical is nearest to the mean distance.
    """
    mean = sum(u.distance for u in utterances) / max(1, len(utterances))

    def ranked(distance_key: int) -> tuple[UtteranceResult, ...]:
        order = sorted(utterances, key=lambda u: (distance_key * u.distance, -u.length, u.id))
        return tuple(order[:count])

    typical = sorted(utterances, key=lambda u: (abs(u.distance - mean), -u.length, u.id))
    return Selection(best=ranked(1), average=tuple(typical[:count]), worst=ranked(-1))
