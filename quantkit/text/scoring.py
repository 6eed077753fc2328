"""How texts are compared: normalisation, and the units of the edit distance."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Protocol

from quantkit.errors import InputError
from quantkit.text.labels import Labels
from quantkit.text.normalizations import NORMALIZATIONS, published
from quantkit.text.normalize import normalized
from quantkit.text.scripts import without_spaces_within
from quantkit.text.units import CHARACTERS, KEYWORDS, LABELS, Unit


class TextScoring(Protocol):
    """How the texts of one kind of model are compared with transcripts."""

    @property
    def normalization(self) -> str:
        """Name of what is made equal; two runs can be compared only if theirs are equal."""
        ...

    @property
    def unit(self) -> Unit:
        """The unit of the edit distance."""
        ...

    @property
    def has_words(self) -> bool:
        """Whether spaces divide words, so that word errors can be counted."""
        ...

    def normalized(self, text: str, language: str = "") -> str:
        """``text`` normalised, without differences that do not count.

        Args:
            text: a transcript.
            language: code of the clip's language; empty if unknown.
        """
        ...

    def heard(self, text: str, language: str = "") -> str:
        """The same for the output of a model."""
        ...

    def units(self, text: str) -> list[str]:
        """The counted units of a normalised text."""
        ...

    def covers(self, text: str) -> bool:
        """Whether the model can write a normalised text."""
        ...


@dataclass(frozen=True)
class LabelScoring:
    """In the alphabet of a CTC model; see :func:`~quantkit.text.normalize.normalized`."""

    labels: Labels

    @property
    def normalization(self) -> str:
        """Towards the labels."""
        return "labels"

    @property
    def unit(self) -> Unit:
        """Labels if they have a separator, as phonemes do; else characters."""
        return LABELS if self.labels.separator else CHARACTERS

    @property
    def has_words(self) -> bool:
        """Whether the space is a label."""
        return self.labels.has_words

    def normalized(self, text: str, language: str = "") -> str:
        """In the case of the labels, without punctuation outside them."""
        return without_spaces_within(normalized(text, self.labels, language))

    def heard(self, text: str, language: str = "") -> str:
        """With composed letters: every label counts."""
        return without_spaces_within(unicodedata.normalize("NFC", text))

    def units(self, text: str) -> list[str]:
        """Characters, or labels if they have a separator."""
        separator = self.labels.separator
        return [unit for unit in text.split(separator) if unit] if separator else [*text]

    def covers(self, text: str) -> bool:
        """Whether every unit is a label."""
        return self.labels.covers(text)


@dataclass(frozen=True)
class KeywordScoring:
    """One of a classifier's classes: right or wrong, so that the error rate is 1 - accuracy."""

    classes: tuple[str, ...]

    @property
    def normalization(self) -> str:
        """Towards the names of the classes."""
        return "classes"

    @property
    def unit(self) -> Unit:
        """One keyword per clip."""
        return KEYWORDS

    @property
    def has_words(self) -> bool:
        """Never: the keyword is the only unit."""
        return False

    def normalized(self, text: str, language: str = "") -> str:
        """The class that is equal up to case, else the text itself."""
        stripped = " ".join(text.split())
        same = (name for name in self.classes if name.casefold() == stripped.casefold())
        return next(same, stripped)

    def heard(self, text: str, language: str = "") -> str:
        """Unchanged: a class."""
        return text

    def units(self, text: str) -> list[str]:
        """The whole text."""
        return [text]

    def covers(self, text: str) -> bool:
        """Whether it is a class."""
        return text in self.classes


@dataclass(frozen=True)
class WrittenTextScoring:
    """Text as people write it, normalised as published with Whisper (Radford et al. 2022, appendix
    C): English without contractions, in one spelling and with numbers in digits; other languages
    in lower case without punctuation.
    """

    @property
    def normalization(self) -> str:
        """As published with Whisper."""
        return "published"

    @property
    def unit(self) -> Unit:
        """Characters of the normalised text."""
        return CHARACTERS

    @property
    def has_words(self) -> bool:
        """Always."""
        return True

    def normalized(self, text: str, language: str = "") -> str:
        """As published; a clip of unknown language counts as English."""
        return without_spaces_within(published(text, language))

    def heard(self, text: str, language: str = "") -> str:
        """As published, like the transcript."""
        return self.normalized(text, language)

    def units(self, text: str) -> list[str]:
        """Characters."""
        return [*text]

    def covers(self, text: str) -> bool:
        """Always: such a model can write anything."""
        return True


@dataclass(frozen=True)
class NamedScoring:
    """As one of :data:`~quantkit.text.normalizations.NORMALIZATIONS` makes texts equal.

    Args:
        own: how texts of the model are compared otherwise; it says what is counted.
        normalization: its name.
    """

    own: TextScoring
    normalization: str

    @property
    def unit(self) -> Unit:
        """That of the model."""
        return self.own.unit

    @property
    def has_words(self) -> bool:
        """As of the model."""
        return self.own.has_words

    def normalized(self, text: str, language: str = "") -> str:
        """As the normalisation has it."""
        return without_spaces_within(NORMALIZATIONS[self.normalization](text, language))

    def heard(self, text: str, language: str = "") -> str:
        """The same."""
        return self.normalized(text, language)

    def units(self, text: str) -> list[str]:
        """Those of the model."""
        return self.own.units(text)

    def covers(self, text: str) -> bool:
        """Whether the model can write the text, but for case and signs."""
        return self.own.covers(self.own.normalized(text))


def scoring_of(own: TextScoring, normalization: str) -> TextScoring:
    """How texts are compared under a normalisation; empty stands for the model's own.

    Raises:
        InputError: no such normalisation, or the model does not write text.
    """
    if normalization in ("", own.normalization):
        return own
    if normalization not in NORMALIZATIONS:
        known = ", ".join(NORMALIZATIONS)
        raise InputError(f"there is no normalization {normalization!r}; choose one of {known}")
    if own.unit.one_per_clip:
        raise InputError("classes are right or wrong: there is no text to normalize")
    return NamedScoring(own, normalization)
