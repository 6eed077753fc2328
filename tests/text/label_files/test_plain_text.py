"""Lines of text: encodings, ends of lines, and the forms that other tools write."""

from __future__ import annotations

import pytest

from quantkit.errors import InputError
from quantkit.text.label_files.plain_text import decoded, table_of_lines

TEXT = "<blank>\n \né\n"


def names(text: str) -> tuple[str, ...]:
    return table_of_lines(text, "labels.txt").names


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_in_any_encoding_of_unicode_and_with_any_end_of_line(encoding: str, end: str) -> None:
    content = TEXT.replace("\n", end).encode(encoding)
    assert names(decoded(content, "labels.txt")) == ("<blank>", " ", "é")


def test_other_text_is_refused() -> None:
    with pytest.raises(InputError, match="are not UTF-8 text"):
        decoded("é\nü".encode("latin-1"), "labels.txt")


def test_characters_that_end_lines_elsewhere_are_labels() -> None:
    assert names("<blank>\n\u2028\n\x85\n\x0b\n\u00a0\n") == (
        "<blank>",
        "\u2028",
        "\x85",
        "\x0b",
        "\u00a0",
    )


def test_empty_lines_at_the_end_are_none_and_others_are_asked_about() -> None:
    assert names("a\nb\n\n\n") == ("a", "b")
    with pytest.raises(InputError, match="line 2 is empty; write <space> for a space"):
        names("a\n\nb\n")
    with pytest.raises(InputError, match="are empty"):
        names("\n\n")


@pytest.mark.parametrize(
    "text",
    [
        "<blk> 0\n▁ 1\na 2\n",
        "a 2\n<blk> 0\n▁ 1\n",
        "<blk>\t0\n▁\t1\na\t2\n",
        "<blk> 0 \n▁   1\na 2",
    ],
)
def test_symbols_with_their_number_stand_in_any_order(text: str) -> None:
    assert names(text) == ("<blk>", "▁", "a")


def test_a_symbol_that_is_a_space_has_only_its_number() -> None:
    assert names("<blk> 0\n  1\na 2\n") == ("<blk>", " ", "a")


def test_symbols_may_be_digits_and_hold_spaces() -> None:
    assert names("1 0\n0 1\n2 2\n") == ("1", "0", "2")
    assert names("new york 1\n<blk> 0\n") == ("<blk>", "new york")


def test_numbers_that_skip_an_output_are_refused() -> None:
    with pytest.raises(InputError, match="none has the number 1"):
        names("<blk> 0\na 2\nb 3\n")


def test_a_number_may_stand_in_front() -> None:
    assert names("0 <blk>\n1 a\n2 b\n") == ("<blk>", "a", "b")


def test_names_that_end_in_a_number_are_no_table() -> None:
    assert names("digit 0\ndigit 1\ndigit 2\n") == ("digit 0", "digit 1", "digit 2")


def test_counts_of_fairseq_follow_its_four_special_symbols() -> None:
    table = table_of_lines("| 94802\nE 51860\nT 38431\n", "dict.ltr.txt")
    assert table.names == ("<s>", "<pad>", "</s>", "<unk>", "|", "E", "T")
    assert table.blank == "<s>"


def test_a_line_that_is_no_label_takes_no_time() -> None:
    with pytest.raises(InputError, match="longer than any label"):
        names(" " * 1_000_000 + "x\na\n")


def test_older_espnet_leaves_the_first_number_to_the_blank() -> None:
    assert names("<unk> 1\na 2\n<eos> 3\n") == ("<blank>", "<unk>", "a", "<eos>")


def test_speechbrain_quotes_symbols_and_names_its_blank() -> None:
    text = "'_' => 1\n\"'\" => 2\n'B' => 0\n================\n'blank_label' => 'B'\n"
    table = table_of_lines(text, "label_encoder.txt")
    assert (table.names, table.blank) == (("B", "_", "'"), "B")


def test_spaces_at_the_end_of_lines_are_no_part_of_labels() -> None:
    assert names("a \nb\t\n \n") == ("a", "b", " ")


def test_pieces_of_sentencepiece_have_scores() -> None:
    unigram = table_of_lines("<unk>\t0\n▁the\t-3.2\ns\t-4\n", "m.vocab")
    assert (unigram.names, unigram.scores) == (("<unk>", "▁the", "s"), (0.0, -3.2, -4.0))
    assert unigram.method == "unigram"
    assert table_of_lines("<unk>\t0\n▁t\t-0\nhe\t-1\n", "m.vocab").method == "bpe"


def test_comments_in_front_of_an_alphabet_are_left_out() -> None:
    text = "# Each line in this file is a label.\n# And this one too.\n \na\n#\n"
    assert names(text) == (" ", "a", "#")


def test_numbers_may_stand_in_front() -> None:
    # Editors take away the space at the end of a line.
    assert names("0 <blk>\n1 \n2 a\n") == ("<blk>", " ", "a")
    assert names("1\ta\n0\t<blk>\n") == ("<blk>", "a")
    assert names("0\n1\n2\n") == ("0", "1", "2")


def test_tables_with_commas() -> None:
    assert names("<blk>,0\n ,1\na,2\n") == ("<blk>", " ", "a")
    assert names('token,id\n<blk>,0\n",",1\n') == ("<blk>", ",")
    assert names("a,b\nc,d\n") == ("a,b", "c,d")


def test_a_symbol_with_two_numbers_is_named() -> None:
    with pytest.raises(InputError, match="several numbers to 'a'"):
        names("<blk> 0\na 1\nb 2\na 3\n")
