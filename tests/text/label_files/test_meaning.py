"""From names to labels: which is the blank, what is printed, and how words are marked."""

from __future__ import annotations

import pytest

from quantkit.errors import InputError
from quantkit.text.byte_labels import icefall_alphabet
from quantkit.text.label_files.meaning import BLANKS, labels_of_table
from quantkit.text.label_files.table import LabelTable
from quantkit.text.labels import Labels


def labels(*names: str, outputs: int = 0, blank: int | None = None) -> Labels:
    return labels_of_table(LabelTable(names, "x"), outputs or len(names), blank)


@pytest.mark.parametrize("blank", BLANKS)
def test_the_blank_has_one_of_its_names_anywhere(blank: str) -> None:
    assert labels("a", "b", blank).blank == 2


def test_the_more_certain_name_is_the_blank() -> None:
    assert labels("_", "<pad>", "<blk>").blank == 2
    assert labels("-", "|", "E", "T").blank == 0


def test_a_blank_that_no_name_shows_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"have no blank .* --blank"):
        labels("-", "a", "b")
    with pytest.raises(InputError, match=r"--blank 0, or --blank 2 for the last, as NeMo has it"):
        labels("a", "b", outputs=3)
    assert labels("a", "b", outputs=3, blank=2).tokens == ("a", "b", "<blank>")


def test_special_names_beyond_the_outputs_are_left_out() -> None:
    assert labels("<blk>", "a", "#0", "<s>", outputs=2).tokens == ("<blk>", "a")
    with pytest.raises(InputError, match="name 3 outputs, but the model has 2"):
        labels("<blk>", "a", "b", outputs=2)


def test_special_names_are_never_printed() -> None:
    found = labels("<blk>", "<sos/eos>", "<unk>", "<|en|>", "[UNK]", "[unused3]", "⁇", "a")
    assert found.silent == (1, 2, 3, 4, 5, 6)
    assert labels("<blk>", "<0x41>", "a").decode([1, 2]) == "Aa"


@pytest.mark.parametrize("space", ["|", "<space>", "▁", " ", "[SPACE]"])
def test_the_space_has_several_names(space: str) -> None:
    assert labels("<blk>", "a", space, "<unk>").decode([1, 2, 1]) == "a a"


def test_a_bar_beside_a_space_is_a_bar() -> None:
    assert labels("<blk>", " ", "|", "a").decode([3, 1, 2]) == "a |"
    assert labels("<blk>", "<space>", "|", "a").decode([3, 1, 2]) == "a |"


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (("<blk>", "▁the", "▁cat", "s"), [1, 2, 3]),
        (("[PAD]", "the", "cat", "##s"), [1, 2, 3]),
        (("<pad>", "the</w>", "cat", "s</w>"), [1, 2, 3]),
        (("<blank>", "the", "cat@@", "s"), [1, 2, 3]),
        (("<pad>", "Ġthe", "Ġcat", "s"), [1, 2, 3]),
    ],
)
def test_words_are_marked_in_several_ways(names: tuple[str, ...], written: list[int]) -> None:
    found = labels(*names)
    assert found.decode(written) == "the cats"
    assert found.encode("the cats") == written


def test_bytes_of_gpt2_join_to_characters() -> None:
    found = labels("<pad>", "Ġcaf", "Ã", "©")
    assert found.tokens == ("<pad>", " caf", "<0xC3>", "<0xA9>")
    assert found.decode([1, 2, 3]) == "café"


def test_bytes_of_icefall_join_to_characters() -> None:
    alphabet = {byte: character for character, byte in icefall_alphabet().items()}
    spelt = "".join(alphabet[byte] for byte in "你好".encode())
    found = labels("<blk>", f"▁{spelt[:4]}", spelt[4:], *alphabet.values())
    assert found.decode([1, 2]) == "你好"
    assert found.covers("你好")


def test_polish_pieces_are_no_bytes() -> None:
    assert labels("<blk>", "▁zażółć", "▁gęślą").decode([1, 2]) == "zażółć gęślą"


def test_chinese_beside_continued_words_has_no_spaces() -> None:
    found = labels("<blank>", "你", "好", "wi@@", "fi")
    assert found.decode([1, 2, 3, 4]) == "你好wifi"


def test_phonemes_and_words_are_printed_with_spaces_between_them() -> None:
    assert labels("<blk>", "SH", "IY", "AH0").decode([1, 2]) == "SH IY"
    assert labels("<blk>", "a", "b", "sh").decode([1, 3]) == "ash"


def test_letters_of_several_characters_are_letters() -> None:
    devanagari = ("<blk>", "कि", "क्", "मा", " ")
    assert labels(*devanagari).separator == ""
    assert labels("<blk>", "e\u0301", "a\u0300").separator == ""


def test_names_that_would_print_the_same_are_refused() -> None:
    with pytest.raises(InputError, match="labels x: labels repeat a token: ' a'"):
        labels("<blk>", "▁a", " a")


@pytest.mark.parametrize("space", ["<SP>", "[space]", "<Space>", "SPACE", "_"])
def test_further_names_of_the_space(space: str) -> None:
    assert labels("<blk>", space, "a", "b").decode([2, 1, 3]) == "a b"


def test_the_blank_is_no_space() -> None:
    assert labels("_", "SH", "IY").decode([1, 2]) == "SH IY"


def test_a_delimiter_beside_a_space_is_one_too() -> None:
    found = labels_of_table(LabelTable(("<pad>", "a", " ", "|"), "x", space="|"), 4)
    assert found.decode([1, 3, 1, 2, 1]) == "a a a"
    assert found.encode("a a") == [1, 2, 1]
