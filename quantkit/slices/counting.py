"""What is counted in texts that were scored before, such as those of a report."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from quantkit.text.scripts import script_without_spaces
from quantkit.text.units import CHARACTERS, Unit


@dataclass(frozen=True)
class ScoredTexts:
    """How texts are counted that are normalised already.

    Args:
        unit: of the edit distance.
        has_words: whether spaces divide words.
    """

    unit: Unit
    has_words: bool

    @classmethod
    def of(cls, unit: Unit, texts: Collection[str], *, word_errors: bool) -> ScoredTexts:
        """As the texts show.

        Args:
            texts: transcripts, or what a model writes.
            word_errors: whether a word error rate is known.
        """
        spaced = unit.name == CHARACTERS.name and not script_without_spaces(texts)
        return cls(unit, word_errors or spaced)

    def units(self, text: str) -> list[str]:
        """The counted units of a text."""
        if self.unit.one_per_clip:
            return [text]
        return text.split() if self.unit.separated else [*text]
