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


@dataclass(frozen=True)
class Change:
    """One utterance whose text is not that of the first model.

    Args:
        before, after: of the first model, and of the other.
    """

    before: UtteranceResult
    after: UtteranceResult

    @property
    def more(self) -> int:
        """Edits beyond those of the first model; negative where there are fewer."""
        return self.after.distance - self.before.distance


@dataclass(frozen=True)
class Changes:
    """What a model writes differently from the first.

    Args:
        worse, better, equal: those with more edits, with fewer, and with as many, the most changed
            ones first.
        count: of all utterances whose text differs.
    """

    worse: tuple[Change, ...]
    better: tuple[Change, ...]
    equal: tuple[Change, ...]
    count: int


def changed_predictions(
    first: Sequence[UtteranceResult], other: Sequence[UtteranceResult], count: int = 5
) -> Changes:
    """At most ``count`` of each kind; both models have the same utterances.

    Among equals the shorter reference comes first: there one edit is more.
    """
    before = {u.id: u for u in first}
    changes = [
        Change(before[u.id], u)
        for u in other
        if u.id in before and before[u.id].hypothesis != u.hypothesis
    ]
    changes.sort(key=lambda each: (-abs(each.more), each.after.length, each.after.id))
    return Changes(
        worse=tuple(each for each in changes if each.more > 0)[:count],
        better=tuple(each for each in changes if each.more < 0)[:count],
        equal=tuple(each for each in changes if each.more == 0)[:count],
        count=len(changes),
    )
