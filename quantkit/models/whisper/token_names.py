"""Names of a Whisper's tokens, from the files that its tokenizer is saved in."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantkit.disk.reading import read_text
from quantkit.errors import CheckpointError, FormatError
from quantkit.json_fields import parse_json
from quantkit.models.pretrained_files import optional_json_object, read_json_object
from quantkit.text.whisper_vocabulary import spelled_in_gpt2

TOKENIZER_NAME = "tokenizer.json"
#: Of the package openai-whisper, for its multilingual models and for those of English.
TIKTOKEN_NAMES = ("multilingual.tiktoken", "gpt2.tiktoken")
_VOCABULARY, _WORDS = "vocab.json", "added_tokens.json"
_LINES, _LIST = "vocabulary.txt", "vocabulary.json"
# Outputs of the smallest multilingual model that has times.
_MULTILINGUAL = 51_865
_SETTINGS, _SPECIAL = "tokenizer_config.json", "special_tokens_map.json"


@dataclass
class TokenNames:
    """What the files call the outputs of a model.

    Args:
        names: by id.
        literal: ids of tokens that were added to the text, and are spelled as they are.
        silent: ids of tokens that are not printed.
        beyond: the largest id for which the model has no output; -1 for none.
    """

    names: dict[int, str] = field(default_factory=dict)
    literal: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    beyond: int = -1

    def add(self, index: int, name: str, outputs: int) -> bool:
        """Name an output; whether there is such an output."""
        if index < outputs:
            self.names[index] = name
            return True
        self.beyond = max(self.beyond, index)
        return False


def read_names(folder: Path, outputs: int) -> TokenNames:
    """The names of a model's ``outputs``.

    CTranslate2 has a list, ``vocabulary.txt`` or ``vocabulary.json``; ``transformers`` has
    ``tokenizer.json``, or ``vocab.json`` with ``added_tokens.json``, and settings of both; OpenAI
    has the text tokens alone, ``*.tiktoken``.

    Raises:
        CheckpointError: there is none of these files, or one is damaged or of another tokenizer.
    """
    found = TokenNames()
    listed = _listed(folder, outputs)
    if listed is not None:
        for index, name in enumerate(listed):
            found.add(index, name, outputs)
        return found
    path, tokens, added = _numbered(folder)
    for name, index in tokens.items():
        found.add(_id(index, path), name, outputs)
    for index, name, is_special in added:
        if found.add(index, name, outputs):
            found.literal.add(index)
            if is_special:
                found.silent.add(index)
    return found


def has_names(folder: Path) -> bool:
    """Whether there are any files of a tokenizer."""
    known = (TOKENIZER_NAME, _VOCABULARY, _LINES, _LIST, *TIKTOKEN_NAMES)
    return any((folder / name).is_file() for name in known)


def _listed(folder: Path, outputs: int) -> list[str] | None:
    lines, listed = folder / _LINES, folder / _LIST
    if lines.is_file():
        return _text(lines).replace("\r\n", "\n").removesuffix("\n").split("\n")
    if listed.is_file():
        return _list(listed)
    if any((folder / name).is_file() for name in (TOKENIZER_NAME, _VOCABULARY)):
        return None
    # Of both, the multilingual one is larger.
    for name, least in zip(TIKTOKEN_NAMES, (_MULTILINGUAL, 0), strict=True):
        if (folder / name).is_file() and outputs >= least:
            return tiktoken_names(folder / name)
    return None


def tiktoken_names(path: Path) -> list[str]:
    """Text tokens of a file with the bytes of one in base64, and its number, in each line.

    Raises:
        CheckpointError: it is no such file, or its numbers do not count its lines.
    """
    names = []
    for line in _text(path).splitlines():
        content, _, index = line.partition(" ")
        try:
            # The last token of the multilingual file is empty, and written as a lone "=".
            names.append(spelled_in_gpt2(base64.b64decode(content)))
        except ValueError as error:
            raise CheckpointError(f"{path} is no list of tokens: {line!r:.60}") from error
        if index != str(len(names) - 1):
            raise CheckpointError(f"{path} does not number its tokens in order: {line!r:.60}")
    return names


def _numbered(folder: Path) -> tuple[Path, dict[str, Any], list[tuple[int, str, bool]]]:
    """The file of the text tokens, their ids, and those that were added: id, name, special."""
    path = folder / TOKENIZER_NAME
    if path.is_file():
        content = read_json_object(path)
        try:
            tokens = dict(content["model"]["vocab"])
            rows = content.get("added_tokens") or []
            added = [
                (_id(each["id"], path), str(each["content"]), each.get("special") is True)
                for each in rows
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path} is not a tokenizer of Whisper") from error
        return path, tokens, added
    path = folder / _VOCABULARY
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no vocabulary: {TOKENIZER_NAME}, {_VOCABULARY} or vocabulary.txt is "
            "missing; copy it from the model that this one was trained from"
        )
    tokens = read_json_object(path)
    special = set(_special_names(folder))
    words = optional_json_object(folder / _WORDS)
    added = [(_id(index, folder / _WORDS), name, name in special) for name, index in words.items()]
    return path, tokens, [*added, *_from_settings(folder)]


def _from_settings(folder: Path) -> Iterator[tuple[int, str, bool]]:
    """Added tokens as ``tokenizer_config.json`` has them."""
    rows = optional_json_object(folder / _SETTINGS).get("added_tokens_decoder")
    for index, row in rows.items() if isinstance(rows, dict) else ():
        if index.isdecimal() and isinstance(row, dict) and isinstance(row.get("content"), str):
            yield int(index), row["content"], row.get("special") is True


def _special_names(folder: Path) -> Iterator[str]:
    for value in optional_json_object(folder / _SPECIAL).values():
        for each in value if isinstance(value, list) else [value]:
            # An added token is an object with settings.
            name = each.get("content") if isinstance(each, dict) else each
            if isinstance(name, str):
                yield name


def _id(value: object, path: Path) -> int:
    if type(value) is not int or value < 0:
        raise CheckpointError(
            f"{path} does not number its tokens: it is not a vocabulary of Whisper"
        )
    return value


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
