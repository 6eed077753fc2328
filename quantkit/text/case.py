"""Upper and lower case as languages have them, towards the letters that labels hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

# Whose dotted and dotless i are two letters: Turkish and Azerbaijani.
_TURKIC = frozenset({"tr", "tur", "az", "aze", "azj"})
# Of Greek: grave and circumflex became the one accent, breathings and others are written no more.
_TONOS = "\u0301"
_ACCENTS = str.maketrans({"\u0300": _TONOS, "\u0342": _TONOS})
_ABOLISHED = re.compile("[\u0304\u0306\u0313\u0314\u0345]")


def in_case_of(text: str, characters: Collection[str], language: str = "") -> str:
    """``text`` in upper or lower case, if ``characters`` are of one case only.

    >>> in_case_of("Straße", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    'STRASSE'
    >>> in_case_of("ISPARTA", "abcdefghıijklmnoprstu", "tr")
    'ısparta'

    Args:
        language: code of the text's language; empty: dotless i among the characters tells Turkish.
    """
    has_upper = any(character.isupper() for character in characters)
    has_lower = any(character.islower() for character in characters)
    if has_upper == has_lower:
        return text
    fold = upper if has_upper else lower
    return fold(text, characters, language)


def lower(text: str, characters: Collection[str] = (), language: str = "") -> str:
    """``text`` in lower case; a final sigma follows from its place in the word."""
    if _is_turkic(characters, language):
        return text.replace("İ", "i").replace("I", "ı").lower()
    # Elsewhere a dot above the i is left out, for it is there already.
    return text.replace("İ", "i").lower()


def upper(text: str, characters: Collection[str] = (), language: str = "") -> str:
    """``text`` in upper case; ß is SS unless ``characters`` hold its capital."""
    if _is_turkic(characters, language):
        text = text.replace("i", "İ")
    if "ẞ" in characters:
        text = text.replace("ß", "ẞ")
    return text.upper()


def other_cases(character: str, characters: Collection[str], language: str = "") -> list[str]:
    """The same letter otherwise: in another case, as two letters, or without a Greek accent."""
    found = [
        lower(character, characters, language),
        upper(character, characters, language),
        character.lower(),
        character.casefold(),
        character.casefold().upper(),
    ]
    if character in "ıİ":
        found += ["i", "I"]
    if _is_greek(character):
        apart = unicodedata.normalize("NFD", character)
        modern = _ABOLISHED.sub("", apart.translate(_ACCENTS))
        # Capitals are written without accent, and some labels hold none at all.
        for each in (apart.replace(_TONOS, ""), modern, modern.replace(_TONOS, ""), apart[:1]):
            composed = unicodedata.normalize("NFC", each)
            found += [composed.upper(), composed]
    return [each for each in dict.fromkeys(found) if each != character]


def _is_turkic(characters: Collection[str], language: str) -> bool:
    if language:
        return re.split("[-_]", language.lower())[0] in _TURKIC
    return "ı" in characters or "İ" in characters


def _is_greek(character: str) -> bool:
    return unicodedata.name(character, "").startswith("GREEK")
