"""Texts to be spoken: words, phrases and sentences, endless and reproducible.

>>> from quantkit.synthesis.sentences import sentences
>>> sentences("phrases", 3, seed=1) == sentences("phrases", 3, seed=1)
True
"""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from quantkit.errors import InputError
from quantkit.synthesis import vocabulary as v
from quantkit.synthesis.grammar import Grammar

Kind = Literal["words", "phrases", "short", "sentences", "long"]
KINDS: tuple[Kind, ...] = get_args(Kind)

WORDS_PER_TEXT: dict[Kind, tuple[int, int]] = {
    "words": (1, 4),
    "phrases": (2, 4),
    "short": (1, 4),
    "sentences": (5, 12),
    "long": (12, 25),
}
"""Fewest and most words in a text of each kind."""

DICTIONARY = Path("/usr/share/dict/words")
"""Debian's word list (package ``wamerican``); used if installed, for more spellings."""

_LONGEST_WORD = 10
_PLAIN = re.compile(rf"[a-z]{{2,{_LONGEST_WORD}}}")


@cache
def dictionary_words() -> tuple[str, ...]:
    """Plain lower-case words of the system's word list; empty if it is not installed."""
    if not DICTIONARY.is_file():
        return ()
    lines = DICTIONARY.read_text(encoding="utf-8").splitlines()
    return tuple(word for word in lines if _PLAIN.fullmatch(word) and set(word) & set("aeiouy"))


def sentence(kind: Kind, rng: random.Random) -> str:
    """One text of letters a to z, spaces and apostrophes.

    Raises:
        InputError: ``kind`` is not one of ``KINDS``.
    """
    if kind not in WORDS_PER_TEXT:
        raise InputError(f"unknown kind of text {kind!r}; choose one of {', '.join(KINDS)}")
    if kind == "short":
        kind = rng.choice(("words", "phrases"))
    grammar = Grammar(rng)
    if kind == "words":
        return _words(grammar)
    fewest, most = WORDS_PER_TEXT[kind]
    if rng.random() < {"phrases": 0.3, "sentences": 0.15, "long": 0.05}[kind]:
        count = rng.randint(fewest, min(most, fewest + 4))
        return " ".join(_any_word(grammar) for _ in range(count))
    while True:
        text = grammar.fragment() if kind == "phrases" else grammar.sentence()
        while kind == "long" and len(text.split()) < fewest:
            joint = rng.choice(v.CONJUNCTIONS)
            text = f"{text} {joint} {grammar.clause()}"
        if fewest <= len(text.split()) <= most:
            return text


def sentences(kind: Kind, count: int, seed: int) -> list[str]:
    """``count`` texts; each depends only on ``kind``, ``seed`` and its own place in the list."""
    return [sentence(kind, random.Random(f"{seed}:{kind}:{place}")) for place in range(count)]


def _any_word(grammar: Grammar) -> str:
    spelled = dictionary_words()
    return grammar.pick(spelled) if spelled and grammar.maybe(0.6) else grammar.any_word()


def _words(grammar: Grammar) -> str:
    roll = grammar.rng.random()
    if roll < 0.25:
        return grammar.pick(v.COMMANDS)
    if roll < 0.32:
        digits = v.COMMANDS[:10]
        return " ".join(grammar.pick(digits) for _ in range(grammar.rng.randint(2, 4)))
    if roll < 0.9:
        return _any_word(grammar)
    return f"{_any_word(grammar)} {_any_word(grammar)}"
