"""Names that other people chose, shown so that they do nothing to a terminal."""

from __future__ import annotations

import unicodedata

# Control characters, formatting ones such as those that turn the direction of writing, halves of
# surrogate pairs, and what ends a line or a paragraph.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Joiners are part of words in Persian and in scripts of India, and of emoji.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    r"""``text`` in one line, with what cannot be seen written as an escape.

    >>> printable("a\x1b[2J\nb")
    'a\\x1b[2J\\nb'
    """
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode("ascii")
