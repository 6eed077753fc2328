"""Datasets of Hugging Face: Parquet or Arrow files whose rows hold audio files.

::

    data/train-00000-of-00002.parquet          as the hub has them
    data-00000-of-00001.arrow  state.json      as ``save_to_disk`` writes them

A column of structs ``{bytes, path}``, or of plain bytes, holds the clips; where there is none, a
column of paths names files in the folder. Memory holds the texts of all rows, and the clips of one
row group.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from quantkit.audio.corpora.columns import renamed, seconds_of, split_of_file
from quantkit.audio.corpora.files import walk_files
from quantkit.audio.corpora.rows import Rows
from quantkit.audio.decode import AudioBytes
from quantkit.audio.utterance import Corpus
from quantkit.errors import CorpusError, MissingDependencyError
from quantkit.printable import printable

_SUFFIXES = (".parquet", ".arrow")
# data / language / split / part.parquet
_DEEPEST = 3


def is_parquet(folder: Path) -> bool:
    """Whether there is a Parquet or Arrow file in ``folder`` or at most three levels below it."""
    return next(_files(folder), None) is not None


def load_parquet(folder: Path) -> Corpus:
    """Read every row of every file.

    The split of a file is what its name or folder says.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        CorpusError: a damaged file, one without a column of clips, or no clip.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingDependencyError(
            f"{printable(folder)} holds Parquet, which needs the optional library pyarrow: "
            "pip install 'quantkit[parquet]'"
        )
    rows = Rows(folder)
    for path in _files(folder):
        _add(rows, folder, path)
    return rows.corpus()


def _files(folder: Path) -> Iterator[Path]:
    for path in walk_files(folder, _DEEPEST, []):
        if path.suffix.lower() in _SUFFIXES and path.is_file():
            yield path


def _add(rows: Rows, folder: Path, path: Path) -> None:
    # pyarrow is optional, and takes long to import.
    from quantkit.audio.corpora.arrow_table import ArrowTable

    table = ArrowTable(path)
    columns = renamed(table.names)
    clips = table.audio_column
    if clips is None and "path" not in columns:
        raise CorpusError(f"{printable(path)} has no column of audio: {', '.join(table.names)}")
    split = split_of_file(path, folder)
    name = printable(path.relative_to(folder).as_posix())
    for number, values in enumerate(table.rows(columns)):
        where = f"{name}[{number}]"
        if clips is None:
            rows.add(where, values, path.parent, split=split)
            continue
        described = rows.described(values, split)
        content = AudioBytes(where, partial(table.clip, number), path)
        seconds = seconds_of(values.get("seconds", ""))
        rows.utterances.append(replace(described, content=content, name=where, seconds=seconds))
