"""Names of files as they can be printed and stored anywhere."""

from __future__ import annotations


def printable(name: object) -> str:
    r"""``name`` without what a terminal, UTF-8 or a line cannot hold.

    Bytes that are no UTF-8, which Python keeps as lone surrogates, and control characters become
    escapes. Other names stay as they are.

    >>> printable("one\ntwo"), printable("caf\udce9.wav")
    ('one\\ntwo', 'caf\\xe9.wav')
    """
    text = str(name)
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    # Spaces of other scripts and joiners are no harm; separators of lines are.
    harmless = character.isprintable() or character in "\u00a0\u200c\u200d\u3000"
    return character if harmless else character.encode("unicode_escape").decode("ascii")
