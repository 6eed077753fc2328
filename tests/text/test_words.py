"""Words of pieces, with times."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.text.words import Piece, words_of_pieces


def pieces(*contents: str) -> list[Piece]:
    """One each second."""
    return [Piece(each.encode(), at, at + 1, -0.1) for at, each in enumerate(contents)]


def test_letters_are_words_between_spaces() -> None:
    one, two = words_of_pieces(pieces("o", "h", " ", "n", "o"))
    assert (one.text, one.start, one.end) == ("oh", 0, 2)
    assert (two.text, two.start, two.end) == ("no", 3, 5)


def test_pieces_may_hold_the_space_before_a_word_or_behind() -> None:
    before = words_of_pieces(pieces(" hel", "lo", " you"))
    behind = words_of_pieces(pieces("hel", "lo ", "you "))
    assert [word.text for word in before] == [word.text for word in behind] == ["hello", "you"]
    assert [(word.start, word.end) for word in before] == [(0, 2), (2, 3)]


def test_a_piece_of_two_words_counts_for_both() -> None:
    words = words_of_pieces(pieces("of the", " end"))
    assert [(word.text, word.start) for word in words] == [("of", 0), ("the", 0), ("end", 1)]


def test_a_character_may_be_made_of_bytes() -> None:
    cafe = [Piece(b" caf", 0, 1, 0), Piece(b"\xc3", 1, 2, 0), Piece(b"\xa9", 2, 3, 0)]
    (word,) = words_of_pieces(cafe)
    assert (word.text, word.end) == ("café", 3)


def test_without_spaces_each_character_is_a_word() -> None:
    said = [Piece("你".encode(), 0, 1, 0), Piece(b"\xe5\xa5", 1, 2, 0), Piece(b"\xbd", 2, 3, 0)]
    words = words_of_pieces(said, spaced=False)
    assert [(word.text, word.start, word.end) for word in words] == [("你", 0, 1), ("好", 1, 3)]


def test_confidence_is_the_geometric_mean_of_probabilities() -> None:
    (word,) = words_of_pieces([Piece(b"a", 0, 1, math.log(0.9)), Piece(b"b", 1, 2, math.log(0.4))])
    assert word.confidence == pytest.approx(math.sqrt(0.9 * 0.4), abs=1e-4)


def test_punctuation_is_written_and_not_said() -> None:
    said = [Piece(b" bed", 0, 1, -0.1), Piece(b"?", 1, 3, -2.0), Piece(b" In", 3, 4, -0.1)]
    bed, _ = words_of_pieces(said)
    assert (bed.text, bed.end) == ("bed?", 1)
    assert bed.confidence == pytest.approx(math.exp(-0.1), abs=1e-4)


def test_an_apostrophe_is_a_letter_among_letters() -> None:
    (word,) = words_of_pieces(pieces("it", "'", "s"))
    assert (word.text, word.start, word.end) == ("it's", 0, 3)


@given(st.lists(st.text(alphabet="ab ", min_size=1, max_size=4), max_size=8))
def test_words_are_those_of_the_text(contents: list[str]) -> None:
    words = words_of_pieces(pieces(*contents))
    assert [word.text for word in words] == "".join(contents).split()
    starts = [word.start for word in words]
    assert starts == sorted(starts)
