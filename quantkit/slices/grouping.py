"""From properties of clips to groups of clips."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quantkit.slices.by import COMPUTED, WORDS, By
from quantkit.slices.properties import ClipProperties

#: Clips below which a slice says little.
FEW_CLIPS = 8
# Clips below which thirds say nothing.
_FEWEST_FOR_THIRDS = 6
# Different numbers in a column above which they are not names.
_MOST_NAMES = 10


@dataclass(frozen=True)
class Group:
    """Clips that share a value of a property.

    Args:
        by: name of the property.
        value: that they share.
        clips: their names.
    """

    by: str
    value: str
    clips: tuple[str, ...]

    @property
    def name(self) -> str:
        """``language: de``."""
        return f"{self.by}: {self.value}"


def groups_of(clips: Sequence[ClipProperties], by: Sequence[By]) -> tuple[Group, ...]:
    """The groups, property by property; values in order, numbers from the lowest on.

    A clip of which a property is unknown is in none of its groups.
    """
    return tuple(group for each in by if each.name != WORDS for group in _groups(clips, each))


def _groups(clips: Sequence[ClipProperties], by: By) -> Iterator[Group]:
    named = {each.clip: each.named[by.name] for each in clips if by.name in each.named}
    numbers = {each.clip: each.measured[by.name] for each in clips if by.name in each.measured}
    if named:
        # What a corpus says counts more than what is computed.
        read = {clip: _number(value) for clip, value in named.items()}
        values = {clip: value for clip, value in read.items() if value is not None}
        many = len(set(values.values())) > _MOST_NAMES
        if len(values) < len(named) or not (by.bounds or many):
            for value in sorted(set(named.values())):
                yield Group(by.name, value, tuple(c for c, own in named.items() if own == value))
            return
        numbers = values
    bounds = by.bounds or _thirds(list(numbers.values()))
    if not bounds:
        return
    unit = "" if named else f" {COMPUTED.get(by.name, '')}".rstrip()
    exact = bool(by.bounds)
    for low, high in zip((None, *bounds), (*bounds, None), strict=True):
        inside = tuple(
            clip
            for clip, value in numbers.items()
            if (low is None or value >= low) and (high is None or value < high)
        )
        if inside:
            yield Group(by.name, _in_words(low, high, unit, exact=exact), inside)


def _thirds(numbers: list[float]) -> tuple[float, ...]:
    """The bounds between them; none where they would say nothing."""
    ordered = sorted(numbers)
    if len(ordered) < _FEWEST_FOR_THIRDS or ordered[0] == ordered[-1]:
        return ()
    found = {ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]}
    return tuple(sorted(found - {ordered[0]}))


def _in_words(low: float | None, high: float | None, unit: str, *, exact: bool) -> str:
    def text(bound: float) -> str:
        return f"{bound:g}" if exact else f"{bound:.1f}"

    if low is None:
        return f"below {text(high or 0.0)}{unit}"
    if high is None:
        return f"from {text(low)}{unit}"
    return f"{text(low)} to {text(high)}{unit}"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
