"""Which file of a folder holds the labels, and which form a file has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

from quantkit.errors import InputError
from quantkit.text.label_files.json_files import read_json, table_of_json
from quantkit.text.label_files.nemo import table_of_config
from quantkit.text.label_files.nemo_archive import CONFIG, table_of_archive
from quantkit.text.label_files.plain_text import decoded, table_of_lines
from quantkit.text.label_files.sentencepiece_model import table_of_model
from quantkit.text.label_files.table import LabelTable
from quantkit.text.label_files.transformers_tokenizer import (
    SETTINGS,
    TOKEN_NAMES,
    TOKENIZER,
    VOCABULARY,
    table_of_folder,
)

# Content of a Git-LFS file that was not fetched.
_POINTER = b"version https://git-lfs.github.com/spec/"

# Several times the largest vocabulary of a recogniser, and of a configuration of one.
_MOST_BYTES = 32 << 20
_MOST_BYTES_OF_YAML = 2 << 20

# Names of files with labels, the more certain ones first.
_PATTERNS = (
    VOCABULARY,
    TOKENIZER,
    "tokens.txt",
    "*_tokens.txt",
    "units.txt",
    CONFIG,
    "labels.txt",
    "labels.json",
    "tokens.json",
    "label_encoder.txt",
    "alphabet.json",
    "alphabet.txt",
    "vocab.txt",
    "dict.*.txt",
    "*.model",
    "*.vocab",
    "*.nemo",
)
_MODEL = "*.model"


def table_of(path: Path) -> LabelTable:
    """The labels in a file, or in the file of a folder that holds them.

    Raises:
        InputError: they cannot be read, or there are none.
        MissingDependencyError: see :func:`~.nemo.table_of_config`.
    """
    if not path.is_dir():
        return _table_of_file(path)
    names = sorted(file.name for file in path.iterdir() if file.is_file())
    for pattern in _PATTERNS:
        for name in (name for name in names if fnmatch(name.lower(), pattern)):
            if (table := _table_in_folder(path, name, names)) is not None:
                return table
    raise InputError(
        f"{path} has no labels: it has no vocab.json, tokenizer.json, tokens.txt, labels.txt, "
        "SentencePiece .model or .vocab, or model_config.yaml with a list of them"
    )


def table_of_transformers(folder: Path, language: str = "") -> LabelTable:
    """The labels of a CTC model of ``transformers`` in a folder.

    Args:
        language: whose vocabulary it is, of a file with several; empty: the tokenizer's own.

    Raises:
        InputError: as :func:`table_of`.
    """
    name = next((each for each in (VOCABULARY, TOKENIZER) if (folder / each).is_file()), None)
    if name is None:
        raise InputError(f"{folder} has no {VOCABULARY} with the labels of its outputs")
    return table_of_folder(_beside(folder / name), name, str(folder / name), language)


def _table_in_folder(folder: Path, name: str, names: list[str]) -> LabelTable | None:
    """Of NeMo's configuration, which need not list them, None where it does not."""
    path = folder / name
    if fnmatch(name, CONFIG):
        text = decoded(_content(path, _MOST_BYTES_OF_YAML), str(path))
        return table_of_config(text, str(path), names, lambda each: _content(folder / each))
    return _with_scores(_table_of_file(path), folder, names)


def _with_scores(table: LabelTable, folder: Path, names: list[str]) -> LabelTable:
    """``table``, with the scores of the SentencePiece model beside it that has its pieces."""
    models = [name for name in names if fnmatch(name.lower(), _MODEL)]
    if table.scores or table.merges or not models or fnmatch(table.origin.lower(), _MODEL):
        return table
    pieces = _table_of_file(folder / models[0])
    scores = dict(zip(pieces.names, pieces.scores, strict=False))
    if len(scores) < len(pieces.names) or len({*table.names} - scores.keys()) > 2:
        return table
    return replace(
        table, scores=tuple(scores.get(name, 0.0) for name in table.names), method=pieces.method
    )


def _table_of_file(path: Path) -> LabelTable:
    suffix, origin = path.suffix.lower(), str(path)
    if suffix == ".nemo":
        return table_of_archive(path)
    is_yaml = suffix in (".yaml", ".yml")
    content = _content(path, _MOST_BYTES_OF_YAML if is_yaml else _MOST_BYTES)
    if suffix == ".model":
        return table_of_model(content, origin)
    if path.name in (VOCABULARY, TOKENIZER) and any(map(_beside(path), (SETTINGS, TOKEN_NAMES))):
        return table_of_folder(_beside(path), path.name, origin)
    if suffix == ".json":
        return table_of_json(read_json(content, origin), origin)
    text = decoded(content, origin)
    if is_yaml:
        if (table := table_of_config(text, origin)) is None:
            raise InputError(f"{origin} lists no labels")
        return table
    if text.lstrip().startswith(("{", "[")):
        try:
            return table_of_json(read_json(content, origin), origin)
        except InputError:
            # A label may be a bracket, too.
            return table_of_lines(text, origin)
    return table_of_lines(text, origin)


def _beside(path: Path) -> Callable[[str], bytes | None]:
    def content(name: str) -> bytes | None:
        file = path.with_name(name)
        return _content(file) if file.is_file() else None

    return content


def _content(path: Path, limit: int = _MOST_BYTES) -> bytes:
    """The bytes of a regular file.

    Raises:
        InputError: it cannot be read, or is larger than any file of labels.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"cannot read labels {path}: it is no file")
        if path.stat().st_size > limit:
            raise InputError(f"labels {path} are larger than {limit >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read labels {path}: {error.strerror or error}") from error
    if content.startswith(_POINTER):
        raise InputError(f"{path} is a Git-LFS pointer: run `git lfs pull`")
    return content
