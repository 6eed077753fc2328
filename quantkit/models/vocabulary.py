"""Labels of the outputs of a ``transformers`` model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantkit.errors import CheckpointError, InputError
from quantkit.text.label_files.folders import table_of_transformers
from quantkit.text.label_files.meaning import labels_of_table
from quantkit.text.labels import Labels


def ctc_labels(folder: Path, outputs: int, language: str = "") -> Labels:
    """Labels from the files of the tokenizer in ``folder``.

    See :mod:`quantkit.text.label_files.transformers_tokenizer`. Case is kept,
    because transcripts are converted to the case of the labels.

    Args:
        outputs: of the model.
        language: whose vocabulary it is, of a file with several; empty: the tokenizer's own.

    Raises:
        CheckpointError: files are missing or damaged, or the tokens do not match the outputs.
    """
    try:
        table = table_of_transformers(folder, language)
        if table.blank is not None and table.blank not in table.names:
            raise InputError(
                f"{table.origin} lacks the padding token {table.blank!r}, which is the CTC blank"
            )
        return labels_of_table(table, outputs)
    except InputError as error:
        raise CheckpointError(f"{error}") from error


def transducer_labels(folder: Path, outputs: int, blank: int) -> Labels:
    """Labels from the tokenizer in ``folder``; special tokens write nothing.

    Args:
        outputs: labels of the model.
        blank: which of them is none; its padding token is a label like others.

    Raises:
        CheckpointError: as :func:`ctc_labels`.
    """
    try:
        return labels_of_table(table_of_transformers(folder), outputs, blank)
    except InputError as error:
        raise CheckpointError(f"{error}") from error


def class_names(config: dict[str, Any], outputs: int, origin: Path) -> tuple[str, ...]:
    """Names of a classifier's outputs, from ``id2label`` of its configuration.

    Raises:
        CheckpointError: their number is not that of the outputs, or a name is repeated.
    """
    named = config.get("id2label")
    if not isinstance(named, dict):
        named = {str(index): f"LABEL_{index}" for index in range(outputs)}
    names = {str(index): str(name) for index, name in named.items()}
    if set(names) != {str(index) for index in range(outputs)}:
        raise CheckpointError(
            f"{origin}: id2label names {len(names)} classes, but the model has {outputs} outputs"
        )
    classes = tuple(names[str(index)] for index in range(outputs))
    if len(set(classes)) != outputs:
        raise CheckpointError(f"{origin}: id2label gives two classes the same name")
    return classes
