"""The vocabulary of a Whisper, from the file of a folder that contains it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard

from quantkit.errors import CheckpointError, FormatError
from quantkit.json_fields import parse_json
from quantkit.models.pretrained_files import optional_json_object, read_json_object
from quantkit.reading import read_text
from quantkit.text.whisper_vocabulary import WhisperVocabulary

_TOKENIZER, _VOCABULARY, _WORDS = "tokenizer.json", "vocab.json", "added_tokens.json"


def read_vocabulary(
    folder: Path, tokens: object, *, suppressed: object = None, suppressed_first: object = None
) -> WhisperVocabulary:
    """The vocabulary in the folder of a model with ``tokens`` output tokens.

    Args:
        suppressed, suppressed_first: token lists of the model's settings; None if they have none.

    Raises:
        CheckpointError: there is none, it is damaged, or it belongs to another model.
    """
    if not _is_token(tokens):
        raise CheckpointError(
            f"{folder}: invalid number of tokens in the model's settings: {tokens!r:.40}"
        )
    names = _names(folder, tokens)
    try:
        vocabulary = WhisperVocabulary.from_names(
            names, _tokens(folder, suppressed), _tokens(folder, suppressed_first)
        )
    except FormatError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    if vocabulary.size != tokens:
        raise _another(vocabulary.size, tokens, folder)
    return vocabulary


def _names(folder: Path, tokens: int) -> list[str]:
    """Names of the tokens in the order of their ids; the timestamps at the end may be missing."""
    lines, listed = folder / "vocabulary.txt", folder / "vocabulary.json"
    if lines.is_file():
        return _text(lines).split("\n")
    if listed.is_file():
        return _list(listed)
    ids = _ids(folder)
    size = 1 + max(ids.values(), default=-1)
    if size > tokens:
        # Checked before allocating a list as long as the largest number in the file.
        raise _another(size, tokens, folder)
    names = [""] * size
    for name, index in ids.items():
        names[index] = name
    return names


def _ids(folder: Path) -> dict[str, int]:
    """The number of each named token."""
    if (folder / _TOKENIZER).is_file():
        path = folder / _TOKENIZER
        content = read_json_object(path)
        try:
            ids = dict(content["model"]["vocab"])
            ids |= {each["content"]: each["id"] for each in content["added_tokens"]}
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is not a tokenizer of Whisper") from error
    elif (folder / _VOCABULARY).is_file():
        path = folder / _VOCABULARY
        ids = read_json_object(path) | optional_json_object(folder / _WORDS)
    else:
        raise CheckpointError(
            f"{folder} has no vocabulary: {_TOKENIZER}, {_VOCABULARY} or vocabulary.txt is missing"
        )
    if not all(isinstance(name, str) and _is_token(index) for name, index in ids.items()):
        raise CheckpointError(
            f"{path} does not number its tokens: it is not a vocabulary of Whisper"
        )
    return ids


def _another(size: int, tokens: int, folder: Path) -> CheckpointError:
    return CheckpointError(
        f"{folder}: the vocabulary has {size} tokens, but the model {tokens}: it is another model's"
    )


def _tokens(folder: Path, listed: object) -> list[int]:
    if listed is None:
        return []
    # -1 stands for all non-speech symbols; explicit lists contain them.
    if not isinstance(listed, list) or not all(_is_token(each) or each == -1 for each in listed):
        raise CheckpointError(
            f"{folder}: suppressed tokens are not a list of numbers: {listed!r:.40}"
        )
    return listed


def _is_token(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _list(path: Path) -> list[str]:
    try:
        content = parse_json(_text(path), str(path))
    except FormatError as error:
        raise CheckpointError(f"{path} is not JSON, or is truncated; fetch it again") from error
    if not isinstance(content, list):
        raise CheckpointError(f"{path} is not a list of tokens; fetch it again")
    return [str(name) for name in content]


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
