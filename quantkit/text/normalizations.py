"""What may be made equal before texts are compared, by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from quantkit.text.case import lower

#: Code of a text's language, and the text.
Normalization = Callable[[str, str], str]

_APOSTROPHES = "'’ʼ‘`´′＇"


def unchanged(text: str, language: str = "") -> str:
    """But for spaces, of which one stands between words."""
    return " ".join(text.split())


def nfkc(text: str, language: str = "") -> str:
    """In Unicode's composed form without typographic variants; case and signs count."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def basic(text: str, language: str = "") -> str:
    """In lower case and without signs, but with all that is a letter or a part of one.

    Vowel signs stay, which :func:`published` takes for signs. Apostrophes within words stay.

    >>> basic("It’s — हिन्दी!")
    "it's हिन्दी"
    """
    composed = unicodedata.normalize("NFKC", text)
    kept = []
    for at, character in enumerate(composed):
        category = unicodedata.category(character)
        if character in _APOSTROPHES:
            within = composed[at - 1 : at].isalpha() and composed[at + 1 : at + 2].isalpha()
            kept.append("'" if within else " ")
        elif category != "Cf":
            kept.append(" " if category[0] in "PSZ" else character)
    return " ".join(lower("".join(kept), (), language).split())


def published(text: str, language: str = "") -> str:
    """As published with Whisper (Radford et al. 2022, appendix C); see :class:`WrittenTextScoring`.

    A text of unknown language counts as English.
    """
    return str(_normalizer(language in ("", "en"))(text)).strip()


#: By the name that ``--normalize`` has for it.
NORMALIZATIONS: dict[str, Normalization] = {
    "nfkc": nfkc,
    "basic": basic,
    "published": published,
    "none": unchanged,
}


def loses_vowel_signs(text: str, normalized: str) -> bool:
    """Whether ``normalized`` lacks marks of ``text`` that are parts of its letters.

    Accents that compose with their letter are none.

    >>> loses_vowel_signs("हिन्दी", published("हिन्दी", "hi"))
    True
    """
    return _marks(normalized) < _marks(text)


def _marks(text: str) -> int:
    composed = unicodedata.normalize("NFC", text)
    return sum(
        unicodedata.category(c)[0] == "M" and not "\u0300" <= c <= "\u036f" for c in composed
    )


class _Normalizer(Protocol):
    def __call__(self, text: str) -> str: ...


@lru_cache
def _normalizer(is_english: bool) -> _Normalizer:
    # Imported on first use, because it reads tables of a megabyte.
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    made: _Normalizer = EnglishTextNormalizer() if is_english else BasicTextNormalizer()
    return made
