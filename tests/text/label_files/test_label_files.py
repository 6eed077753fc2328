"""Files that name a model's outputs, in the forms that people have them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.text.label_files import classes_of, ctc_labels_of, read_names


def written(folder: Path, content: str, name: str = "labels.txt") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "<blank>\n \na\n"),
        ("labels.txt", "<blank>\n \na\n\n"),
        ("labels.json", '["<blank>", " ", "a"]'),
        ("vocab.json", '{"a": 2, "<blank>": 0, " ": 1}'),
    ],
)
def test_lines_lists_and_vocabularies(tmp_path: Path, name: str, content: str) -> None:
    assert read_names(written(tmp_path, content, name)) == ["<blank>", " ", "a"]


@pytest.mark.parametrize("blank", ["<blank>", "<blk>", "<pad>", "[PAD]", "_"])
@pytest.mark.parametrize("space", ["|", "<space>", " "])
def test_blank_and_space_have_several_names(tmp_path: Path, blank: str, space: str) -> None:
    labels = ctc_labels_of(written(tmp_path, f"a\n{space}\n<unk>\n{blank}\n"), 4)
    assert (labels.blank, labels.silent) == (3, (2,))
    assert labels.decode([0, 1, 2, 0]) == "a a"


def test_the_blank_may_be_given_by_its_index(tmp_path: Path) -> None:
    path = written(tmp_path, "a\nb\n")
    assert ctc_labels_of(path, 2, blank=1).blank == 1
    left_out = ctc_labels_of(path, 3, blank=2)
    assert (left_out.tokens, left_out.blank) == (("a", "b", "<blank>"), 2)
    with pytest.raises(InputError, match=r"have no blank .* --blank"):
        ctc_labels_of(path, 2)
    with pytest.raises(InputError, match="there is no output 9"):
        ctc_labels_of(path, 2, blank=9)


def test_labels_of_another_model_are_refused_in_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, "_\na\nb\n")
    with pytest.raises(InputError, match="name 3 outputs, but the model has 32"):
        ctc_labels_of(path, 32)
    with pytest.raises(InputError, match="name 3 outputs, but the model has 4"):
        classes_of(path, 4)
    assert classes_of(path, 3) == ("_", "a", "b")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "are empty"),
        ("a.txt", "a\n\nb\n", "line 2 is empty"),
        ("a.txt", "_\na\na\n", "repeat a token"),
        ("a.json", "{", "are not JSON"),
        ("a.json", "3", "neither a list nor an object"),
        ("a.json", '{"a": 1, "b": 2}', "not 0 to 1"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ctc_labels_of(written(tmp_path, content, name), 3)
    with pytest.raises(InputError, match="cannot read labels"):
        read_names(tmp_path / "none.txt")
