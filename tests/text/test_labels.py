from __future__ import annotations

from typing import Literal

import pytest

from quantkit.errors import FormatError, InputError
from quantkit.text.labels import Labels
from quantkit.text.segmentation import Segmentation


def test_hw4p2_has_the_published_35_labels_at_the_published_places() -> None:
    labels = Labels.hw4p2()
    assert len(labels) == 35
    # "hello world" as the source work prints it.
    assert labels.encode("hello world") == [8, 5, 12, 12, 15, 32, 23, 15, 18, 12, 4]


def test_text_survives_a_round_trip() -> None:
    labels = Labels.english()
    assert labels.decode(labels.encode("it's on")) == "it's on"
    assert labels.encode("") == []


def test_what_is_no_label_is_named() -> None:
    with pytest.raises(InputError, match="'é' in 'café'"):
        Labels.english().encode("café")
    assert not Labels.english().covers("café")


def test_the_blank_is_never_text() -> None:
    assert not Labels.english().covers("<blank>")


def test_silent_labels_are_never_text() -> None:
    labels = Labels(("<blank>", "<unk>", "a", "b"), silent=(1,))
    assert labels.decode([2, 1, 3]) == "ab"
    assert not labels.covers("<unk>")
    with pytest.raises(InputError, match="not one of the labels"):
        Labels(("_", "u", "a"), silent=(1,)).encode("au")
    with pytest.raises(InputError, match="silent labels"):
        Labels(("_", "a"), silent=(2,))


def test_phonemes_are_separated_by_spaces() -> None:
    labels = Labels.of_texts(["SH IY", "HH IY"], separator=" ")
    assert labels.tokens == ("<blank>", "HH", "IY", "SH")
    assert labels.decode(labels.encode("SH IY")) == "SH IY"


def test_labels_survive_their_json() -> None:
    silent = Labels(("_", "<unk>", "a"), silent=(1,))
    unigram = Labels(("_", "ab"), segmentation=Segmentation("unigram", (0.0, -1.5)))
    merges = Labels(("_", "a", "b", "ab"), segmentation=Segmentation("merges", merges=((1, 2),)))
    for labels in (Labels.english(), Labels.of_texts(["SH IY"], " "), silent, unigram, merges):
        assert Labels.from_json(labels.to_json()) == labels


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tokens": ["a", "a"], "blank": 0}'])
def test_unreadable_labels_are_refused(text: str) -> None:
    with pytest.raises((FormatError, InputError)):
        Labels.from_json(text)


def test_a_blank_outside_the_labels_is_refused() -> None:
    with pytest.raises(InputError, match="outside"):
        Labels(("a",), blank=1)


def test_no_labels_from_silence() -> None:
    with pytest.raises(InputError, match="empty transcripts"):
        Labels.of_texts(["", ""])


PIECES = Labels(("<blk>", " the", " cat", "s", " ", " c", "a", "t"), silent=())


def test_pieces_hold_the_space_in_front_of_their_word() -> None:
    assert PIECES.has_words
    assert PIECES.are_pieces
    assert PIECES.decode([1, 2, 3]) == "the cats"
    assert PIECES.encode("the cats") == [1, 2, 3]
    assert PIECES.decode(PIECES.encode("a cat")) == "a cat"


def test_pieces_may_hold_the_space_behind_their_word() -> None:
    labels = Labels(("<blk>", "lo", "low ", "wer "))
    assert labels.encode("lower low") == [1, 3, 2]
    assert labels.decode([2, 2]) == "low low"


def test_the_longest_label_is_taken_that_leaves_a_rest_that_can_be_written() -> None:
    labels = Labels(("_", "a", "ab", "bc", "c"))
    assert labels.encode("abc") == [2, 4]
    assert Labels(("_", "a", "ab", "bc")).encode("abc") == [1, 3]
    assert not Labels(("_", "ab", "bc")).covers("abc")


def test_scores_of_a_tokenizer_decide_how_a_text_is_cut() -> None:
    tokens = ("_", " ab", "c", " a", "bc", " ", "a", "b")
    unigram = Segmentation("unigram", (0.0, -3.0, -3.0, -1.0, -1.0, -9.0, -9.0, -9.0))
    assert Labels(tokens).encode("abc") == [1, 2]
    assert Labels(tokens, segmentation=unigram).encode("abc") == [3, 4]
    # " " and "a" are merged before "b" and "c" are, and then " a" and "b".
    tokens = ("_", " ", "a", "b", "c", " a", "bc", " ab")
    bpe = Segmentation("bpe", (0.0, -9.0, -9.0, -9.0, -9.0, -0.0, -2.0, -1.0))
    assert Labels(tokens, segmentation=bpe).encode("abc") == [7, 4]
    merges = Segmentation("merges", merges=((3, 4), (1, 2)))
    assert Labels(tokens, segmentation=merges).encode("abc") == [5, 6]


@pytest.mark.parametrize("method", ["unigram", "bpe", None])
def test_bytes_write_what_no_piece_holds(method: Literal["unigram", "bpe"] | None) -> None:
    tokens = ("_", " ", "a", *(f"<0x{byte:02X}>" for byte in range(256)))
    scores = (0.0, -1.0, -1.0, *[-5.0] * 256)
    labels = Labels(tokens, segmentation=Segmentation(method, scores) if method else None)
    # SentencePiece writes a space in front of a text.
    first = [1] if method else []
    assert labels.encode("aé") == [*first, 2, 3 + 0xC3, 3 + 0xA9]
    assert labels.decode([2, 3 + 0xC3, 3 + 0xA9]) == "aé"
    assert labels.decode([2, 3 + 0xC3]) == "a�"


@pytest.mark.parametrize("tokens", [("_", "e", "é"), ("_", "e", "e\u0301"), ("_", "e", "\u0301")])
def test_letters_with_marks_may_be_composed_or_not(tokens: tuple[str, ...]) -> None:
    labels = Labels(tokens)
    assert labels.encode("é") == labels.encode("e\u0301")
    assert labels.decode(labels.encode("é")) in ("é", "e\u0301")
    assert not Labels(("_", "e")).covers("é")


def test_phonemes_with_marks_may_be_composed_or_not() -> None:
    assert Labels(("_", "ã"), separator=" ").encode("a\u0303 ã") == [1, 1]


@pytest.mark.parametrize(
    "text",
    [
        '{"tokens": [1, 2], "blank": 0}',
        '{"tokens": ["a", "b"], "blank": 1e999}',
        '{"tokens": ["a", "b"], "blank": 0.0}',
        '{"tokens": ["a", "b"], "blank": true}',
        '{"tokens": "ab", "blank": 0}',
        '{"tokens": ["a", "b"], "blank": 0, "silent": [0.5]}',
        '{"tokens": ["a", "b"], "blank": 0, "silent": [9]}',
        '{"tokens": ["a", "b"], "blank": 0, "segmentation": {"method": "unigram", "scores": [1]}}',
        '{"tokens": ["a", "b"], "blank": 0, "segmentation": {"method": "merges", "merges": [[0]]}}',
    ],
)
def test_labels_of_the_wrong_type_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        Labels.from_json(text)


def test_half_of_a_character_is_no_label() -> None:
    with pytest.raises(InputError, match="label 1 holds half of a character"):
        Labels(("<blank>", "\ud800"))
    with pytest.raises(FormatError, match="holds half of a character"):
        Labels.from_json(r'{"tokens": ["<blank>", "\ud800"], "blank": 0}')


def test_a_repeated_token_is_named() -> None:
    with pytest.raises(InputError, match="repeat a token: 'b'"):
        Labels(("a", "b", "b"))


def test_tokens_that_are_alike_on_purpose_are_printed_and_the_first_is_written() -> None:
    labels = Labels(("_", " the", "s", " the", "z"), alike=True)
    assert labels.decode([1, 2, 3, 4]) == "thes thez"
    assert labels.encode("the thes") == [1, 1, 2]
    assert Labels.from_json(labels.to_json()) == labels


def test_classes_have_no_blank_and_survive_their_json() -> None:
    classes = Labels.of_classes(("yes", "no thanks", "silence"))
    assert Labels.from_json(classes.to_json()) == classes
    assert [classes.decode([place]) for place in range(3)] == ["yes", "no thanks", "silence"]
    with pytest.raises(InputError, match="at least one"):
        Labels.of_classes(())
