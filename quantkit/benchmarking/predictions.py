"""Selected predictions, and their differences from the references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import Levenshtein

from quantkit.benchmarking.schema import UtteranceResult

Kind = Literal["same", "changed", "only"]


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


def differences(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> tuple[list[tuple[str, Kind]], list[tuple[str, Kind]]]:
    """Both sides of a shortest alignment in pieces.

    Args:
        reference, hypothesis: characters, or labels that end in their separator.

    Returns:
        pieces of the reference and of the hypothesis: ``same``, ``changed`` for substitutions,
            ``only`` for units missing on the other side.
    """
    left: list[tuple[str, Kind]] = []
    right: list[tuple[str, Kind]] = []
    for kind, i0, i1, j0, j1 in Levenshtein.opcodes(reference, hypothesis):
        mark: Kind = "same" if kind == "equal" else "changed" if kind == "replace" else "only"
        if i1 > i0:
            left.append(("".join(reference[i0:i1]), mark))
        if j1 > j0:
            right.append(("".join(hypothesis[j0:j1]), mark))
    return left, right
