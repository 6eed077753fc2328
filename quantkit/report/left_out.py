"""Which clips were left out, and why, in a line."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 5


def left_out_in_words(reasons: Sequence[str], what: str = "clip") -> str:
    """How many clips, and the first few with their reasons.

    >>> left_out_in_words(["a.wav: is empty", "b.m4a is damaged"])
    'left out 2 clips: a.wav: is empty; b.m4a is damaged'

    Args:
        reasons: one for each, which begins with its name; at least one.
        what: one of them.
    """
    count = len(reasons)
    shown = "; ".join(reasons[:_SHOWN])
    more = f"; and {count - _SHOWN} more (--verbose names all)" if count > _SHOWN else ""
    return f"left out {count} {what}{'s' * (count != 1)}: {shown}{more}"
