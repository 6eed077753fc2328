"""The tokenizer of a CTC model of ``transformers``: ``vocab.json`` and the files beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from quantkit.errors import InputError
from quantkit.text.label_files.json_files import one_language, read_json, table_of_json
from quantkit.text.label_files.table import LabelTable

VOCABULARY, TOKENIZER, SETTINGS = "vocab.json", "tokenizer.json", "tokenizer_config.json"
TOKEN_NAMES, _ADDED = "special_tokens_map.json", "added_tokens.json"

# Wav2Vec2CTCTokenizer's default names.
_DEFAULTS: dict[str, str | None] = {
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "word_delimiter_token": "|",
}
_SPECIAL = ("unk_token", "bos_token", "eos_token")

#: Content of a file beside the vocabulary; None if it is not there.
Beside = Callable[[str], bytes | None]


def table_of_folder(beside: Beside, vocabulary: str, origin: str, language: str = "") -> LabelTable:
    """The labels of a tokenizer.

    The padding token is the CTC blank, and the word delimiter a space. Phonemes are printed with
    spaces between them, and without delimiters of words.

    Args:
        vocabulary: name of the file that numbers the tokens.
        origin: path of that file, for messages.
        language: of a file with several vocabularies; empty: that of the settings.

    Raises:
        InputError: a file is damaged, or it has vocabularies of several languages and names none.
    """
    settings = _object(beside, SETTINGS, origin)
    # Which tokens are special stands in either file; the settings win.
    names = _token_names(_object(beside, TOKEN_NAMES, origin), settings)
    numbers = read_json(beside(vocabulary) or b"", origin)
    if not isinstance(numbers, dict):
        raise InputError(f"labels {origin} are not a JSON object")
    if vocabulary == VOCABULARY and numbers:
        if all(isinstance(each, dict) for each in numbers.values()):
            wanted = language or str(settings.get("target_lang") or "")
            numbers = one_language(numbers, wanted, origin)
        numbers = numbers | _object(beside, _ADDED, origin)
    table = table_of_json(numbers, origin)
    is_phonetic = "Phoneme" in str(settings.get("tokenizer_class", ""))
    delimiter = names["word_delimiter_token"]
    silent = {names[key] for key in _SPECIAL}
    if vocabulary == TOKENIZER and "word_delimiter_token" not in settings:
        # It says itself which token is the space.
        delimiter = None
    is_shown = settings.get("replace_word_delimiter_char", " ") != ""
    if is_phonetic or not is_shown:
        silent.add(delimiter)
    return replace(
        table,
        blank=names["pad_token"] if table.blank is None else table.blank,
        silent=table.silent | {name for name in silent if name is not None},
        space=_space(table, delimiter if is_shown and not is_phonetic else None, vocabulary),
        separator=" " if is_phonetic else "",
        lower=settings.get("do_lower_case") is True,
    )


def _space(table: LabelTable, delimiter: str | None, vocabulary: str) -> str | None:
    if table.space is not None or (delimiter is None and vocabulary == TOKENIZER):
        return table.space
    return delimiter or ""


def _token_names(*files: dict[str, Any]) -> dict[str, str | None]:
    names = dict(_DEFAULTS)
    for file in files:
        for key, value in file.items():
            if key in names:
                # An added token is an object with settings.
                content = value.get("content") if isinstance(value, dict) else value
                if isinstance(content, str):
                    names[key] = content
                elif key == "word_delimiter_token":
                    names[key] = None
    return names


def _object(beside: Beside, name: str, origin: str) -> dict[str, Any]:
    content = beside(name)
    found = {} if content is None else read_json(content, f"{name} beside {origin}")
    if not isinstance(found, dict):
        raise InputError(f"labels {name} beside {origin} are not a JSON object")
    return found
