"""``model_config.yaml`` of NeMo, which lists the labels of a CTC model without its blank, and the
tokenizers that it names."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from quantkit.errors import InputError, MissingDependencyError
from quantkit.text.label_files.sentencepiece_model import table_of_model
from quantkit.text.label_files.table import LabelTable

# The CTC decoder of a hybrid model is its second one.
_PLACES = (("aux_ctc", "decoder", "vocabulary"), ("decoder", "vocabulary"), ("labels",))
_MODEL = ".model"


def table_of_config(
    content: str,
    origin: str,
    names: Collection[str] = (),
    read: Callable[[str], bytes] = lambda _name: b"",
) -> LabelTable | None:
    """The labels of a configuration and of the tokenizers beside it; None if there are none.

    An aggregate tokenizer numbers the pieces of one language behind those of the other, and the
    same piece may stand in several of them.

    Args:
        names: of the files beside it, in its folder or archive.
        read: the content of one of them.

    Raises:
        InputError: it is no YAML, a label is no text, or a tokenizer is missing.
        MissingDependencyError: PyYAML is not installed.
    """
    settings = _settings(content, origin)
    listed = _listed(settings, origin)
    tokenizer = settings.get("tokenizer") if isinstance(settings, dict) else None
    tokenizer = tokenizer if isinstance(tokenizer, dict) else {}
    languages = tokenizer.get("langs")
    if isinstance(languages, dict) and languages and (names or listed is None):
        tables = [
            _pieces(each, names, read, f"{origin}, language {language}", of_several=True)
            for language, each in languages.items()
        ]
        return _aggregate(tables, [*languages], origin)
    pieces = _pieces(tokenizer, names, read, origin)
    if pieces is not None and (listed is None or len(listed.names) == len(pieces.names)):
        return replace(pieces, blank_is_last=True)
    return listed


def _aggregate(tables: list[LabelTable | None], languages: list[str], origin: str) -> LabelTable:
    found = [table for table in tables if table is not None]
    if len(found) < len(tables):
        missing = languages[tables.index(None)]
        raise InputError(f"{origin}: the tokenizer of the language {missing} is not beside it")
    return LabelTable(
        tuple(name for table in found for name in table.names),
        origin,
        blank_is_last=True,
        silent=frozenset(name for table in found for name in table.silent),
        spelling="sentencepiece",
        alike=True,
    )


def _pieces(
    tokenizer: Any,
    names: Collection[str],
    read: Callable[[str], bytes],
    origin: str,
    *,
    of_several: bool = False,
) -> LabelTable | None:
    """Of the SentencePiece model that is named, or of the only one there is."""
    named = str(tokenizer.get("model_path") or "") if isinstance(tokenizer, dict) else ""
    name = named.replace(":", "/").rpartition("/")[2]
    models = sorted(each for each in names if each.lower().endswith(_MODEL))
    if name not in models:
        if of_several or not models or (name and len(models) > 1):
            return None
        name = models[0]
    return table_of_model(read(name), f"{origin}, {name}")


def _settings(content: str, origin: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {origin} needs PyYAML: pip install pyyaml, or give --labels a file with one "
            "label a line"
        ) from error
    try:
        return yaml.load(content, Loader=_loader(yaml))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{origin} is not YAML: {reason}") from error


def _listed(settings: Any, origin: str) -> LabelTable | None:
    for place in _PLACES:
        found: Any = settings
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, list) and found:
            if not all(isinstance(name, str) for name in found):
                raise InputError(f"{origin}: {'.'.join(place)} holds something that is no text")
            return LabelTable(tuple(found), origin, blank_is_last=True)
    return None


def _loader(yaml: Any) -> Any:
    """Scalars are text, whatever they look like: ``no`` and ``1`` are labels."""
    return yaml.BaseLoader
