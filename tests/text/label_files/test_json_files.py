"""Labels in JSON, in the shapes that other tools write."""

from __future__ import annotations

from typing import Any

import pytest

from quantkit.errors import InputError
from quantkit.text.label_files.json_files import read_json, table_of_json
from quantkit.text.label_files.meaning import labels_of_table

EXPECTED = ("<blank>", " ", "a")


@pytest.mark.parametrize(
    "content",
    [
        ["<blank>", " ", "a"],
        [["a", 2], ["<blank>", 0], [" ", 1]],
        {"a": 2, "<blank>": 0, " ": 1},
        {"0": "<blank>", "1": " ", "2": "a"},
        {"labels": ["<blank>", " ", "a"], "sample_rate": 16000},
        {"id2label": {"0": "<blank>", "2": "a", "1": " "}, "model_type": "x"},
        {"vocab": {"a": 2, "<blank>": 0, " ": 1}, "version": 1},
        {"tokens": ["<blank>", " ", "a"], "blank": 0, "separator": ""},
    ],
)
def test_lists_vocabularies_and_settings_that_hold_them(content: Any) -> None:
    assert table_of_json(content, "x.json").names == EXPECTED


def test_one_language_of_several() -> None:
    content = {"eng": {"<pad>": 0, "a": 1}, "fra": {"<pad>": 0, "é": 1}}
    assert table_of_json(content, "x.json", "fra").names == ("<pad>", "é")
    assert table_of_json({"eng": content["eng"]}, "x.json").names == ("<pad>", "a")
    with pytest.raises(InputError, match=r"several languages \(eng, fra\): name yours as target"):
        table_of_json(content, "x.json")
    with pytest.raises(InputError, match="no vocabulary of the language 'deu', only: eng, fra"):
        table_of_json(content, "x.json", "deu")


def test_the_alphabet_of_pyctcdecode_has_an_empty_blank() -> None:
    table = table_of_json({"labels": ["a", " ", "⁇", ""], "is_bpe": False}, "alphabet.json")
    labels = labels_of_table(table, 4)
    assert (labels.blank, labels.silent, labels.tokens[1]) == (3, (2,), " ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "neither a list nor an object"),
        ({}, "are empty"),
        ([], "are empty"),
        (["a", ""], "label 1 is empty"),
        (["a", 1], "1 is no label"),
        ({"a": 1, "b": 2}, "not 0 to 1"),
        ({"a": 0, "b": 0}, "gives the number 0 to 'a' and to 'b'"),
        ({"a": 0, "b": 1 << 40}, "no vocabulary"),
        ({"0": "a", "1": 7}, "7 is no label"),
        ({"x": "y"}, "no vocabulary"),
    ],
)
def test_what_holds_no_labels_is_refused(content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        table_of_json(content, "x.json")


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[1e999]", "9" * 9999])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"labels x\.json are not"):
        read_json(text.encode(), "x.json")


@pytest.mark.parametrize("as_written", [str, float])
def test_numbers_that_some_program_wrote_otherwise(as_written: type) -> None:
    content = {name: as_written(number) for number, name in enumerate(("<blk>", " ", "a"))}
    assert table_of_json(content, "vocab.json").names == ("<blk>", " ", "a")


def test_digits_by_number() -> None:
    assert table_of_json({"0": "5", "1": "7"}, "id2label.json").names == ("5", "7")
