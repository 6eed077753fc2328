"""Artifacts may carry vocabularies of kinds that others add."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from quantkit.errors import FormatError, InputError
from quantkit.text import vocabularies
from quantkit.text.vocabularies import register_vocabulary, vocabulary_from_json
from quantkit.text.whisper_vocabulary import WhisperVocabulary

WHISPER = WhisperVocabulary((b" caf", b"\xc3", b"\xa9"), 3, 4, 5, 6, 7, 8)


@dataclass(frozen=True)
class Pieces:
    pieces: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps({"kind": "pieces", "pieces": self.pieces})

    @classmethod
    def from_json(cls, text: str) -> Pieces:
        return cls(tuple(json.loads(text)["pieces"]))


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabularies, "_READERS", dict(vocabularies._READERS))


def test_that_of_whisper_is_known() -> None:
    assert vocabulary_from_json(WHISPER.to_json()) == WHISPER


def test_another_kind_can_be_added_once() -> None:
    register_vocabulary("pieces", Pieces.from_json)
    register_vocabulary("pieces", Pieces.from_json)
    assert vocabulary_from_json(Pieces(("a",)).to_json()) == Pieces(("a",))
    with pytest.raises(InputError, match="a vocabulary 'pieces' already"):
        register_vocabulary("pieces", lambda _text: Pieces(()))


@pytest.mark.parametrize("damage", ["{", "[]", "7", '{"pieces": []}'])
def test_what_is_not_readable_is_refused(damage: str) -> None:
    with pytest.raises(FormatError, match="the vocabulary"):
        vocabulary_from_json(damage)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(FormatError, match="no vocabulary 'pieces'; known: whisper"):
        vocabulary_from_json(Pieces(()).to_json())
