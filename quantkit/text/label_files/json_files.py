"""Labels in JSON: lists, vocabularies, vocabularies by language, and settings that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantkit.errors import FormatError, InputError
from quantkit.json_fields import parse_json, shown
from quantkit.text.label_files.table import LabelTable, names_in_order, ordered
from quantkit.text.label_files.tokenizer_json import table_of_tokenizer

# Where settings and tokenizers keep the labels.
_KEYS = ("labels", "vocabulary", "vocab", "tokens", "label2id", "id2label", "classes")


def read_json(content: bytes, origin: str) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: it is not JSON.
    """
    try:
        return parse_json(content, f"labels {origin}")
    except FormatError as error:
        raise InputError(str(error).replace(" is not ", " are not ", 1)) from error


def table_of_json(content: Any, origin: str, language: str = "") -> LabelTable:
    """The labels in the content of a JSON file.

    Args:
        language: which vocabulary to take where there is one for each.

    Raises:
        InputError: there are none, they skip a number, or it is not clear whose to take.
    """
    if isinstance(content, list):
        return _listed(content, origin)
    if not isinstance(content, dict):
        raise InputError(f"labels {origin} are neither a list nor an object")
    if isinstance(content.get("model"), dict):
        return table_of_tokenizer(content, origin)
    if content and all(isinstance(each, dict) for each in content.values()):
        return table_of_json(one_language(content, language, origin), origin)
    if all(_is_number(number) for number in content.values()):
        return LabelTable(tuple(names_in_order(content, origin)), origin)
    if content and all(key.isdecimal() and len(key) < 10 for key in content):
        pairs = [(int(key), _name(name, origin)) for key, name in content.items()]
        return LabelTable(tuple(ordered(pairs, origin)), origin)
    if content and all(_is_number(_whole(number)) for number in content.values()):
        numbers = {name: _whole(number) for name, number in content.items()}
        return LabelTable(tuple(names_in_order(numbers, origin)), origin)
    if "is_bpe" in content and isinstance(content.get("labels"), list):
        return _of_pyctcdecode(content["labels"], origin)
    for key in _KEYS:
        if isinstance(content.get(key), list | dict):
            return table_of_json(content[key], origin, language)
    raise InputError(f"labels {origin} are no vocabulary: {shown(content)}")


def one_language(content: Mapping[str, Any], language: str, origin: str) -> dict[str, Any]:
    """The vocabulary of one language, of a file with several.

    Raises:
        InputError: there is none of that language, or none is named and there are several.
    """
    if len(content) == 1 and not language:
        return dict(next(iter(content.values())))
    known = ", ".join([*content][:20]) + (", …" if len(content) > 20 else "")
    if not language:
        raise InputError(
            f"{origin} has the vocabularies of several languages ({known}): name yours as "
            "target_lang in a tokenizer_config.json beside it"
        )
    if language not in content:
        raise InputError(f"{origin} has no vocabulary of the language {language!r}, only: {known}")
    return dict(content[language])


def _listed(content: list[Any], origin: str) -> LabelTable:
    if content and all(isinstance(each, list) and len(each) == 2 for each in content):
        names = tuple(_name(name, origin) for name, _ in content)
        numbers = [number for _, number in content]
        if all(_is_number(number) for number in numbers):
            return LabelTable(tuple(ordered([*zip(numbers, names, strict=True)], origin)), origin)
        if all(isinstance(each, int | float) for each in numbers):
            return LabelTable(names, origin, scores=tuple(map(float, numbers)))
    names = tuple(_name(name, origin) for name in content)
    if not names:
        raise InputError(f"labels {origin} are empty")
    if "" in names:
        raise InputError(f"labels {origin}: label {names.index('')} is empty")
    return LabelTable(names, origin)


def _of_pyctcdecode(content: list[Any], origin: str) -> LabelTable:
    """``alphabet.json``: the empty label is the blank, ``⁇`` is unknown."""
    names = tuple(_name(name, origin) for name in content)
    return LabelTable(names, origin, blank="", silent=frozenset({"⁇"}))


def _name(value: Any, origin: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"labels {origin}: {shown(value)} is no label")
    return value


def _whole(value: object) -> int:
    """A number that some program wrote as text, or with a point; -1 for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else -1


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 31
