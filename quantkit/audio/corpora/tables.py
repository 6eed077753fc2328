"""Folders with a table of clips: Common Voice, manifests of NeMo, folders of Hugging Face.

::

    train.tsv  dev.tsv  test.tsv  clips/a.mp3              Common Voice
    train_manifest.json  test_manifest.jsonl  a.wav        NeMo
    metadata.csv  a.wav        train/metadata.jsonl        "audiofolder" of Hugging Face datasets

A table is a CSV, TSV or JSON lines with a column for the clip's path; the names of columns are in
:mod:`~quantkit.audio.corpora.columns`. Paths start at the table's folder, or at ``clips``,
``wavs``, ``wav`` or ``audio`` in it.
"""

from __future__ import annotations

from pathlib import Path

from quantkit.audio.corpora.columns import split_of_file
from quantkit.audio.corpora.files import list_folder
from quantkit.audio.corpora.rows import Rows
from quantkit.audio.corpora.table_files import TABLE_SUFFIXES, table_columns, table_rows
from quantkit.audio.utterance import Corpus
from quantkit.errors import CorpusError
from quantkit.printable import printable

# Names that are for a table of clips, and of the clips that people listened to in Common Voice.
_METADATA, _VALIDATED = "metadata", "validated"


def is_tables(folder: Path) -> bool:
    """Whether there is a table of clips in ``folder``, or of metadata one level below."""
    return bool(_candidates(folder))


def load_tables(folder: Path) -> Corpus:
    """Read the table of ``folder``, or one for each split.

    Raises:
        CorpusError: several tables that are not one for each split, a damaged one, a path that
            leaves the folder, or no clip.
    """
    return _read(folder, _chosen(folder))


def load_table(path: Path) -> Corpus:
    """Read one table; clips are in its folder.

    Raises:
        CorpusError: no such file, no column of paths, and as :func:`load_tables`.
    """
    if "path" not in table_columns(path):
        raise CorpusError(
            f"{printable(path)} has no column of paths, such as path, audio_filepath or file_name"
        )
    return _read(path.parent, [path])


def is_table(path: Path) -> bool:
    """Whether a file is called like a table."""
    return path.suffix.lower() in TABLE_SUFFIXES


def _read(folder: Path, tables: list[Path]) -> Corpus:
    rows = Rows(folder)
    for table in tables:
        split = split_of_file(table, folder)
        for where, row in table_rows(table):
            rows.add(where, row, table.parent, split=split)
    return rows.corpus()


def _candidates(folder: Path) -> list[Path]:
    """Tables of clips: those that say the text, and those whose name says what they are."""
    below = [
        table
        for sub in list_folder(folder)
        if sub.is_dir() and not sub.name.startswith(".")
        for suffix in sorted(TABLE_SUFFIXES)
        if (table := sub / f"{_METADATA}{suffix}").is_file()
    ]
    here = [path for path in list_folder(folder) if is_table(path) and path.is_file()]
    found = []
    for path in (*here, *below):
        columns = table_columns(path)
        named = path.stem.lower() == _METADATA or "manifest" in path.stem.lower()
        if "path" in columns and ("text" in columns or named):
            found.append(path)
    return found


def _chosen(folder: Path) -> list[Path]:
    found = _candidates(folder)
    splits = [path for path in found if split_of_file(path, folder)]
    if len(found) == 1:
        return found
    if splits:
        return splits
    for name in (_METADATA, _VALIDATED):
        if len(some := [path for path in found if path.stem.lower() == name]) == 1:
            return some
    names = ", ".join(printable(path.relative_to(folder)) for path in found)
    raise CorpusError(f"{printable(folder)} holds several tables of clips, {names}; open one")
