"""By which properties clips are divided: ``--by language,length:5/20,words``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from quantkit.errors import InputError

#: What is computed of a clip, with the unit that its values are shown in.
COMPUTED = {"length": "s", "level": "dB", "noise": "dB", "rate": "characters/s"}
#: Not the clips are divided but their words: the first and the last of each, and rare ones.
WORDS = "words"
#: What explains itself, where nobody says what to divide by.
USUAL = ("language", "gender", "speaker", "length")
_OTHER_NAMES = {
    "duration": "length",
    "seconds": "length",
    "loudness": "level",
    "snr": "noise",
    "speed": "rate",
}


@dataclass(frozen=True)
class By:
    """One property.

    Args:
        name: of a column of the corpus, of :data:`COMPUTED`, or :data:`WORDS`.
        bounds: of numbers, ascending; none: thirds.
    """

    name: str
    bounds: tuple[float, ...] = ()

    def __str__(self) -> str:
        numbers = "/".join(f"{bound:g}" for bound in self.bounds)
        return f"{self.name}:{numbers}" if numbers else self.name


def parse_by(text: str | Sequence[str]) -> tuple[By, ...]:
    """The properties that a list names.

    >>> [str(each) for each in parse_by("language,duration:5/20")]
    ['language', 'length:5/20']

    Args:
        text: names with commas between them, or several such lists.

    Raises:
        InputError: an empty name, one that is given twice, or bounds that are no ascending numbers.
    """
    lists = [text] if isinstance(text, str) else text
    found: dict[str, By] = {}
    for part in (part.strip() for each in lists for part in each.split(",")):
        name, colon, numbers = part.partition(":")
        name = name.strip().lower()
        name = _OTHER_NAMES.get(name, name)
        if not name:
            raise InputError("--by takes names with commas between them, such as language,length")
        if name in found:
            raise InputError(f"--by names {name!r} twice")
        found[name] = By(name, _bounds(part, numbers) if colon else ())
    return tuple(found.values())


def _bounds(part: str, numbers: str) -> tuple[float, ...]:
    try:
        bounds = tuple(float(each) for each in numbers.split("/"))
    except ValueError:
        bounds = ()
    rising = all(low < high for low, high in pairwise(bounds))
    if not bounds or not rising or not all(map(math.isfinite, bounds)):
        raise InputError(
            f"--by {part!r}: bounds are ascending numbers with slashes between them, such as "
            "length:5/20"
        )
    return bounds
