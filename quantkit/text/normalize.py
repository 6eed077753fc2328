"""Normalise transcripts to the alphabet of a model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from quantkit.text.case import in_case_of, other_cases
from quantkit.text.labels import Labels

# Signs that stand for each other; each becomes the first of its group that the labels hold.
_EQUAL = (
    "'’ʼ‘`´′＇ʹʻꞌ\u02c8",
    '"”“„‟«»″＂',
    "-‐‑−﹣－",
)
_GROUP = {sign: group for group in _EQUAL for sign in group}
# What a text may have or lack: vowels of Arabic and Hebrew, the bar that stretches a word, and the
# accent that shows the stress in Cyrillic, which is composed with none of its letters.
_OPTIONAL = re.compile(
    "[\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06ed\u0591-\u05bd\u05bf"
    "\u05c1\u05c2\u05c4\u05c5\u05c7]|(?<=[\u0400-\u052f])\u0301"
)
# Letters that may be written without their dots.
_DOTTED = {"ё": "е", "Ё": "Е"}
_HALF_WIDTH = re.compile("[\uff61-\uff9f]+")
# Between two letters or digits an en dash is a hyphen; elsewhere it is a pause.
_EN_DASHES = frozenset("‒–")
_DASHES = frozenset("-‐‑‒–—―−﹣－/…_")


def normalized(text: str, labels: Labels, language: str = "") -> str:
    """``text`` in the case of ``labels``, single-spaced, without punctuation outside the labels.

    Marks that may be left out in writing, such as Arabic vowels, go unless they are labels.
    Letters and digits outside the labels stay, so that :meth:`Labels.covers` can detect them.
    Letters with marks are composed; :class:`Labels` write them either way.

    >>> normalized("Please hold -- I'm  ready!", Labels.english())
    "please hold i'm ready"

    Args:
        language: code of the text's language, by which case is folded; empty if unknown.
    """
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    if labels.separator:
        return composed
    alphabet = _Alphabet(labels, language)
    if not labels.has_words:
        composed = composed.replace(" ", "")
    if all(map(alphabet.holds, composed)):
        return composed
    composed = _HALF_WIDTH.sub(lambda run: unicodedata.normalize("NFKC", run[0]), composed)
    if not any(map(_OPTIONAL.match, labels.characters)):
        composed = unicodedata.normalize("NFC", _OPTIONAL.sub("", _apart(composed)))
    cased = in_case_of(composed, labels.characters, language)
    kept = "".join(alphabet.towards(cased))
    return " ".join(kept.split()) if labels.has_words else "".join(kept.split())


class _Alphabet:
    """The characters that labels can write, composed or not."""

    def __init__(self, labels: Labels, language: str) -> None:
        self.characters, self.language = labels.characters, language

    def holds(self, character: str) -> bool:
        """Whether the labels write a composed character."""
        if character in self.characters:
            return True
        parts = unicodedata.normalize("NFD", character)
        return parts != character and all(part in self.characters for part in parts)

    def towards(self, text: str) -> Iterator[str]:
        """What becomes of each character of ``text``."""
        for at, character in enumerate(text):
            if character == " " or self.holds(character):
                yield character
                continue
            between = text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum()
            yield self._instead_of(character, between)

    def _instead_of(self, character: str, between: bool) -> str:
        group = _GROUP.get(character, "-" if between and character in _EN_DASHES else "")
        if group:
            equal = next((sign for sign in group if sign in self.characters), "")
            return equal or (" " if character in _DASHES else "")
        for other in self._otherwise(character):
            if other and all(map(self.holds, other)):
                return other
        if character in _DASHES:
            return " "
        # Signs, and what steers how letters are drawn, such as a joiner of no width.
        category = unicodedata.category(character)
        return "" if category[0] in "PS" or category in ("Cc", "Cf") else character

    def _otherwise(self, character: str) -> Iterator[str]:
        """Spellings of a letter by other characters: other cases, and parts of a ligature."""
        yield from other_cases(character, self.characters, self.language)
        if character in _DOTTED:
            yield _DOTTED[character]
        if character.isdecimal():
            yield str(unicodedata.decimal(character))
        parts = unicodedata.normalize("NFKC", character)
        if parts != character:
            yield parts
            yield in_case_of(parts, self.characters, self.language)


def _apart(text: str) -> str:
    """``text`` with the letters of Hebrew apart from their marks, which Unicode also has as one."""
    return "".join(
        unicodedata.normalize("NFD", c) if "\ufb1d" <= c <= "\ufb4e" else c for c in text
    )
