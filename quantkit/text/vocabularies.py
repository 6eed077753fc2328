"""Every vocabulary that an artifact may carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from quantkit.errors import FormatError, InputError
from quantkit.json_fields import parse_json
from quantkit.text.whisper_vocabulary import WhisperVocabulary


class AnyVocabulary(Protocol):
    """What the tokens of a model mean; how they become text is the business of its task."""

    def to_json(self) -> str:
        """A JSON object with its ``kind``: an artifact's ``quantkit.vocabulary`` metadata."""
        ...


_READERS: dict[str, Callable[[str], AnyVocabulary]] = {
    WhisperVocabulary.kind: WhisperVocabulary.from_json
}


def register_vocabulary(kind: str, reader: Callable[[str], AnyVocabulary]) -> None:
    """Let artifacts carry vocabularies of a further kind.

    Args:
        reader: inverse of their ``to_json``; raises FormatError.

    Raises:
        InputError: there is another one of that kind.
    """
    if _READERS.setdefault(kind, reader) != reader:
        raise InputError(f"there is a vocabulary {kind!r} already")


def vocabulary_from_json(text: str) -> AnyVocabulary:
    """The vocabulary that an artifact's ``quantkit.vocabulary`` metadata describes.

    Raises:
        FormatError: an unknown kind, or it is not readable.
    """
    try:
        kind = parse_json(text, "the vocabulary")["kind"]
    except (KeyError, TypeError) as error:
        raise FormatError(f"the vocabulary is not readable: {error}") from error
    if kind not in _READERS:
        raise FormatError(f"there is no vocabulary {kind!r}; known: {', '.join(_READERS)}")
    return _READERS[kind](text)
