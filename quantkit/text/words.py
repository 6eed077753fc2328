"""The words of a text, when they were said, and how sure the model is of each."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from quantkit.text.byte_labels import bytes_of
from quantkit.text.labels import Labels

_SPACE = b" "


@dataclass(frozen=True)
class Word:
    """A word, or a character of a script that divides none.

    Args:
        start, end: seconds in the clip, punctuation left out.
        confidence: geometric mean of the probabilities of its labels or tokens, 0 to 1. It orders
            words by how likely they are to be right, and is no share of right words.
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Piece:
    """What a label or token adds to a text.

    Args:
        content: in UTF-8, spaces included.
        start, end: seconds in the clip.
        log_prob: natural logarithm of its probability.
    """

    content: bytes
    start: float
    end: float
    log_prob: float


@dataclass
class _Open:
    """A word whose end is not reached."""

    content: bytes = b""
    pieces: list[Piece] = field(default_factory=list)

    def closed(self) -> Word:
        # Punctuation is not said: what stands for it is a pause.
        said = [piece for piece in self.pieces if not _is_punctuation(piece.content)]
        said = said or self.pieces
        sure = math.exp(sum(piece.log_prob for piece in said) / len(said))
        return Word(
            self.content.decode("utf-8", "replace"),
            round(said[0].start, 3),
            round(max(piece.end for piece in said), 3),
            round(min(1.0, sure), 4),
        )


def words_of_pieces(pieces: Iterable[Piece], *, spaced: bool = True) -> tuple[Word, ...]:
    """The words that pieces write.

    >>> said = [Piece(b"two", 0.1, 0.3, -0.2), Piece(b" wo", 0.5, 0.6, 0), Piece(b"rds", 0.6, 1, 0)]
    >>> [(word.text, word.start, word.end) for word in words_of_pieces(said)]
    [('two', 0.1, 0.3), ('words', 0.5, 1)]

    Args:
        spaced: whether spaces divide words; if not, each piece that ends a character ends a word.
    """
    found: list[Word] = []
    word = _Open()
    for piece in pieces:
        # What a space stands before begins a word.
        for at, part in enumerate(piece.content.split(_SPACE)):
            if at and word.content:
                found.append(word.closed())
                word = _Open()
            if part:
                word.content += part
                word.pieces.append(piece)
        if not spaced and word.content and _is_whole(word.content):
            found.append(word.closed())
            word = _Open()
    return (*found, word.closed()) if word.content else tuple(found)


def words_of_labels(
    labels: Labels, said: Iterable[tuple[int, float, float, float]]
) -> tuple[Word, ...]:
    """The words that labels write; where these hold no spaces, each label is a word.

    Args:
        said: of each label its index, start and end in seconds, and log-probability.
    """
    separator, silent = labels.separator.encode(), {*labels.silent}
    pieces = (
        Piece(bytes_of(labels.tokens[label]) + separator, start, end, log_prob)
        for label, start, end, log_prob in said
        if label not in silent
    )
    return words_of_pieces(pieces, spaced=bool(separator) or labels.has_words)


def _is_punctuation(content: bytes) -> bool:
    """Whether there are signs and spaces only."""
    try:
        text = content.decode("utf-8").replace(" ", "")
    except UnicodeDecodeError:
        return False
    return all(unicodedata.category(sign).startswith("P") for sign in text)


def _is_whole(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
