"""Files with the labels of a model's outputs, each read as its own tools read it.

Lines of text (:mod:`.plain_text`), JSON (:mod:`.json_files`, :mod:`.tokenizer_json`),
SentencePiece's ``.model`` (:mod:`.sentencepiece_model`), and folders of ``transformers``, NeMo and
others (:mod:`.folders`).
"""

from __future__ import annotations

from pathlib import Path

from quantkit.errors import InputError
from quantkit.text.label_files.folders import table_of
from quantkit.text.label_files.meaning import labels_of_table
from quantkit.text.labels import Labels


def read_names(path: Path) -> list[str]:
    """Names in the order of the outputs, as the file or folder at ``path`` has them.

    Raises:
        InputError: it cannot be read, has no labels, or skips one.
    """
    return [*table_of(path).names]


def ctc_labels_of(path: Path, outputs: int, blank: int | None = None) -> Labels:
    """The labels of a CTC model from a file or folder.

    Args:
        outputs: of the model.
        blank: index of the blank, where no name shows it. The file may omit the blank.

    Raises:
        InputError: the number of labels is not that of the outputs, or there is no blank.
    """
    return labels_of_table(table_of(path), outputs, blank)


def classes_of(path: Path, outputs: int) -> tuple[str, ...]:
    """The classes of a classifier from :func:`read_names`.

    Raises:
        InputError: their number is not that of the outputs, or a name is repeated.
    """
    names = read_names(path)
    if len(names) != outputs:
        raise InputError(
            f"labels {path} name {len(names)} outputs, but the model has {outputs}; give the "
            "labels that it was trained with"
        )
    if len(set(names)) != len(names):
        raise InputError(f"labels {path} repeat a class")
    return tuple(names)
