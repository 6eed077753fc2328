"""Names that others chose, as they can be printed and stored anywhere, and do nothing there."""

from __future__ import annotations

import unicodedata

# Control characters, formatting ones such as those that turn the direction of writing, halves of
# surrogate pairs, and what ends a line or a paragraph.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Joiners are part of words in Persian and in scripts of India, and of emoji.
_JOINERS = "\u200c\u200d"


def printable(name: object) -> str:
    r"""``name`` in one line, with what a terminal, UTF-8 or a line cannot hold as escapes.

    Bytes that are no UTF-8, which Python keeps as lone surrogates, become escapes, too. Other names
    stay as they are.

    >>> printable("a\x1b[2J\nb"), printable("caf\udce9.wav")
    ('a\\x1b[2J\\nb', 'caf\\xe9.wav')
    """
    text = str(name)
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) not in _HIDDEN or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode("ascii")
