from __future__ import annotations

import pytest

from quantkit.errors import FormatError, InputError
from quantkit.text.labels import Labels


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
    for labels in (Labels.english(), Labels.of_texts(["SH IY"], " "), silent):
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
