"""Files with the labels of a model's outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from quantkit.errors import InputError
from quantkit.text.labels import Labels

_BLANKS = ("<blank>", "<blk>", "<pad>", "[PAD]", "<ctc>", "_")
_SPACES = ("|", "<space>", "▁")
_SPECIAL = re.compile(r"<[^<>]+>|\[[A-Z]+\]")


def read_names(path: Path) -> list[str]:
    """Names in output order: one per line, a JSON list, or a JSON object from name to index.

    A line may be a single space.

    Raises:
        InputError: the file cannot be read, or is empty, or its indices are not 0, 1, 2, ….
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read labels {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"labels {path} are not UTF-8 text") from error
    names = _from_json(text, path) if path.suffix == ".json" else text.splitlines()
    while names and not names[-1]:
        names.pop()
    if not names:
        raise InputError(f"labels {path} are empty: write one per line")
    if "" in names:
        raise InputError(f"labels {path}: line {names.index('') + 1} is empty")
    return names


def ctc_labels_of(path: Path, outputs: int, blank: int | None = None) -> Labels:
    """The labels of a CTC model from :func:`read_names`.

    Its blank is ``<blank>``, ``<blk>``, ``<pad>``, ``[PAD]``, ``<ctc>`` or ``_``; ``|``,
    ``<space>`` and ``▁`` stand for the space; other names in angle brackets are never printed.

    Args:
        outputs: of the model.
        blank: index of the blank; needed if none of these names occurs. The file may omit the
            blank.

    Raises:
        InputError: the number of labels is not that of the outputs, or there is no blank.
    """
    names = read_names(path)
    if blank is not None and not 0 <= blank < outputs:
        raise InputError(f"there is no output {blank}: the model has {outputs}")
    if blank is not None and len(names) == outputs - 1:
        names.insert(blank, "<blank>")
    _require_count(path, names, outputs)
    if blank is None:
        found = next((name for name in _BLANKS if name in names), None)
        if found is None:
            raise InputError(
                f"labels {path} have no blank ({', '.join(_BLANKS)}): give its index with --blank"
            )
        blank = names.index(found)
    tokens = [
        " " if i != blank and name in _SPACES and " " not in names else name
        for i, name in enumerate(names)
    ]
    silent = [i for i, name in enumerate(tokens) if i != blank and _SPECIAL.fullmatch(name)]
    try:
        return Labels(tuple(tokens), blank, silent=tuple(silent))
    except InputError as error:
        raise InputError(f"labels {path}: {error}") from error


def classes_of(path: Path, outputs: int) -> tuple[str, ...]:
    """The classes of a classifier from :func:`read_names`.

    Raises:
        InputError: their number is not that of the outputs, or a name is repeated.
    """
    names = read_names(path)
    _require_count(path, names, outputs)
    if len(set(names)) != len(names):
        raise InputError(f"labels {path} repeat a class")
    return tuple(names)


def _require_count(path: Path, names: list[str], outputs: int) -> None:
    if len(names) != outputs:
        raise InputError(
            f"labels {path} name {len(names)} outputs, but the model has {outputs}; give the "
            "labels that it was trained with"
        )


def _from_json(text: str, path: Path) -> list[str]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"labels {path} are not JSON: {error}") from error
    if isinstance(content, dict):
        by_index = {index: name for name, index in content.items()}
        if set(by_index) != set(range(len(content))):
            raise InputError(f"labels {path}: their indices are not 0 to {len(content) - 1}")
        return [str(by_index[index]) for index in range(len(content))]
    if isinstance(content, list):
        return [str(name) for name in content]
    raise InputError(f"labels {path} are neither a list nor an object")
