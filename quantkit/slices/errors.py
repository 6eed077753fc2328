"""What is wrong in the text of a clip: letters, words, rare words, and the first and last word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import Levenshtein

from quantkit.text.distances import ErrorCounts, error_counts
from quantkit.text.scoring import TextScoring
from quantkit.text.units import Unit


class Counting(Protocol):
    """What is counted in texts that are normalised already; every ``TextScoring`` knows it."""

    @property
    def unit(self) -> Unit:
        """Of the edit distance."""
        ...

    @property
    def has_words(self) -> bool:
        """Whether spaces divide words."""
        ...

    def units(self, text: str) -> list[str]:
        """The counted units of a text."""
        ...


#: Whether a word is rare.
IsRare = Callable[[str], bool]
# Of the running words of a corpus, unless more of them occur only once.
_RARE_SHARE = 0.1


@dataclass(frozen=True)
class Part:
    """Some of the words of the transcripts.

    Args:
        errors: words that are missing or replaced; of the first and last of a clip also those that
            something is inserted in front of or behind.
        total: how many there are.
    """

    errors: int = 0
    total: int = 0

    @property
    def share(self) -> float | None:
        """Errors per word; None without words."""
        return self.errors / self.total if self.total else None

    def __add__(self, other: Part) -> Part:
        return Part(self.errors + other.errors, self.total + other.total)


@dataclass(frozen=True)
class TextErrors:
    """Edits of texts. Those of several clips add up with ``+``.

    Args:
        unit: what ``units`` counts, in the plural.
        units: edits of letters, or of what else the edit distance counts.
        words: edits of words; None where spaces divide none.
        first, last: words of each clip.
        rare: words that are rare; what is inserted counts for none.
    """

    unit: str
    units: ErrorCounts
    words: ErrorCounts | None = None
    first: Part = Part()
    last: Part = Part()
    rare: Part = Part()

    @property
    def main(self) -> tuple[str, ErrorCounts]:
        """What people count: words where there are some."""
        return (self.unit, self.units) if self.words is None else ("words", self.words)

    def __add__(self, other: TextErrors) -> TextErrors:
        words = None
        if self.words is not None and other.words is not None:
            words = self.words + other.words
        return TextErrors(
            self.unit,
            self.units + other.units,
            words,
            self.first + other.first,
            self.last + other.last,
            self.rare + other.rare,
        )


def text_errors(
    reference: str,
    hypothesis: str,
    scoring: Counting,
    is_rare: IsRare = lambda word: False,
    *,
    words: bool = True,
) -> TextErrors:
    """The edits of one clip.

    Args:
        reference, hypothesis: as they are scored.
        words: whether spaces divide words.
    """
    units = error_counts(scoring.units(reference), scoring.units(hypothesis))
    if not words or not scoring.has_words:
        return TextErrors(scoring.unit.name, units)
    said, heard = reference.split(), hypothesis.split()
    first, last, rare = _parts(said, heard, is_rare)
    return TextErrors(scoring.unit.name, units, error_counts(said, heard), first, last, rare)


def summed(errors: Iterable[TextErrors]) -> TextErrors | None:
    """Of several clips; None of none."""
    total: TextErrors | None = None
    for each in errors:
        total = each if total is None else total + each
    return total


def rare_in(texts: Iterable[str]) -> frozenset[str]:
    """The rarest words that make up at most a tenth of all running words.

    Words that occur once are rare in any case: nothing is rarer. If all occur equally often, none
    is.

    >>> sorted(rare_in(["the cat and the dog", "the cat and the cat"]))
    ['dog']
    """
    counts = Counter(word for text in texts for word in text.split())
    if len(set(counts.values())) < 2:
        return frozenset()
    budget, found = _RARE_SHARE * counts.total(), set[str]()
    for times in sorted(set(counts.values())):
        words = {word for word, count in counts.items() if count == times}
        budget -= times * len(words)
        if budget < 0 and times > 1:
            break
        found |= words
    return frozenset(found)


def rare_words_of(
    listed: Collection[str] | None, texts: Iterable[str], scoring: TextScoring
) -> frozenset[str]:
    """The words of a list as they are scored; without a list, those that are rare in ``texts``."""
    if listed is None:
        return rare_in(texts)
    return frozenset(word for line in listed for word in scoring.normalized(line).split())


def _parts(said: Sequence[str], heard: Sequence[str], is_rare: IsRare) -> tuple[Part, Part, Part]:
    """First, last and rare words, from one shortest alignment."""
    if not said:
        return Part(), Part(), Part()
    missed, inserted = set[int](), Counter[int]()
    for kind, place, _ in Levenshtein.editops(said, heard):
        if kind == "insert":
            inserted[place] += 1
        else:
            missed.add(place)
    end = len(said) - 1
    rare = [place for place, word in enumerate(said) if is_rare(word)]
    return (
        Part(int(0 in missed or inserted[0] > 0), 1),
        Part(int(end in missed or inserted[len(said)] > 0), 1),
        Part(len(missed.intersection(rare)), len(rare)),
    )
