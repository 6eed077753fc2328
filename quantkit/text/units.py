"""What an edit distance counts, and how reports speak of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """What an edit distance counts.

    Args:
        name: plural; reports are written with it.
        rate: short name of the error rate over all units.
        separated: whether spaces lie between the units of a text.
        one_per_clip: whether a text is one unit, right or wrong: then shares of clips are shown,
            and no distribution of distances.
    """

    name: str
    rate: str
    separated: bool = True
    one_per_clip: bool = False


CHARACTERS = Unit("characters", "CER", separated=False)
LABELS = Unit("labels", "LER")
KEYWORDS = Unit("keywords", "LER", one_per_clip=True)

_UNITS = {unit.name: unit for unit in (CHARACTERS, LABELS, KEYWORDS)}


def unit_named(name: str) -> Unit:
    """The unit that a report names; of one that is not known here, nothing but its name is.

    >>> unit_named("characters").rate
    'CER'
    """
    return _UNITS.get(name) or Unit(name, "LER")
