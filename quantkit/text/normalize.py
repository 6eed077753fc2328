"""Normalise transcripts to the alphabet of a model."""

from __future__ import annotations

import unicodedata

from quantkit.text.labels import Labels

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'"})
_DASHES = frozenset("-‐‑‒–—―/")


def normalized(text: str, labels: Labels) -> str:
    """``text`` in the case of ``labels``, single-spaced, without punctuation outside the labels.

    Letters and digits outside the labels stay, so that :meth:`Labels.covers` can detect them.

    >>> normalized("Please hold -- I'm  ready!", Labels.english())
    "please hold i'm ready"
    """
    single_spaced = " ".join(text.split())
    if labels.separator or labels.covers(single_spaced):
        return single_spaced
    known = set(labels.tokens)
    cased = _in_case_of(single_spaced.translate(_APOSTROPHES), known)
    kept = []
    for character in cased:
        if character in known or unicodedata.category(character)[0] not in "PS":
            kept.append(character)
        elif character in _DASHES:
            kept.append(" ")
    return " ".join("".join(kept).split())


def _in_case_of(text: str, tokens: set[str]) -> str:
    has_upper = any(len(token) == 1 and token.isupper() for token in tokens)
    has_lower = any(len(token) == 1 and token.islower() for token in tokens)
    if has_upper and not has_lower:
        return text.upper()
    return text.lower() if has_lower and not has_upper else text
