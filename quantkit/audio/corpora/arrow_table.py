"""Tables of Apache Arrow on disk (pyarrow, an optional dependency)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from quantkit.errors import AudioError, CorpusError
from quantkit.printable import printable

_BYTES = "bytes"


class ArrowTable:
    """A Parquet file, or a stream of Arrow batches as ``datasets`` saves it.

    Args:
        path: of the file.

    Raises:
        CorpusError: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: tuple[int, Any] = (-1, None)
        try:
            self._parts = _parquet(path) if path.suffix.lower() == ".parquet" else _stream(path)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise CorpusError(f"{printable(path)} is damaged: {_line(error)}") from error
        self.schema = self._parts.schema

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return list(self.schema.names)

    @property
    def audio_column(self) -> str | None:
        """The column that holds audio files; None where there is none."""
        for field in self.schema:
            kind = field.type
            if pyarrow.types.is_struct(kind) and kind.get_field_index(_BYTES) >= 0:
                return str(field.name)
        for field in self.schema:
            if pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type):
                return str(field.name)
        return None

    def rows(self, columns: Mapping[str, str]) -> Iterator[dict[str, str]]:
        """The values of each row by our names, as text; without those that hold audio."""
        clips = self.audio_column
        wanted = {ours: theirs for ours, theirs in columns.items() if theirs != clips}
        labels = {theirs: self._labels(theirs) for theirs in wanted.values()}
        for part, count in enumerate(self._parts.counts):
            if not wanted:
                yield from ({} for _ in range(count))
                continue
            for row in self._read(part, sorted(set(wanted.values()))).to_pylist():
                yield {ours: _text(row[theirs], labels[theirs]) for ours, theirs in wanted.items()}

    def clip(self, number: int) -> bytes:
        """The audio file in a row.

        Raises:
            AudioError: it has none.
            CorpusError: the table is damaged there.
        """
        part = 0
        while number >= self._parts.counts[part]:
            number -= self._parts.counts[part]
            part += 1
        if self._held[0] != part:
            self._held = (-1, None)
            self._held = (part, self._read(part, [self.audio_column or ""]).column(0))
        value = self._held[1][number].as_py()
        content = value.get(_BYTES) if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise AudioError(f"{printable(self._path)}: row {number} holds no audio file")
        return content

    def _read(self, part: int, columns: list[str]) -> Any:
        try:
            return self._parts.read(part, columns)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise CorpusError(f"{printable(self._path)} is damaged: {_line(error)}") from error

    def _labels(self, column: str) -> list[str]:
        """Names of the classes that a column of numbers stands for."""
        try:
            metadata = json.loads((self.schema.metadata or {})[b"huggingface"])
            names = metadata["info"]["features"][column]["names"]
        except (KeyError, TypeError, ValueError, RecursionError):
            return []
        return [str(name) for name in names] if isinstance(names, list) else []


@dataclass(frozen=True)
class _Parts:
    """What is read at a time.

    Args:
        counts: rows of each part.
        read: some columns of a part.
    """

    schema: Any
    counts: list[int]
    read: Callable[[int, list[str]], Any]


def _parquet(path: Path) -> _Parts:
    # Pages are read as they are needed: a row group may be hundreds of megabytes.
    file = pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20)
    counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    return _Parts(
        file.schema_arrow,
        counts,
        lambda part, columns: file.read_row_group(part, columns=columns),
    )


def _stream(path: Path) -> _Parts:
    with pyarrow.memory_map(str(path)) as source:
        try:
            table = pyarrow.ipc.open_stream(source).read_all()
        except pyarrow.ArrowInvalid:
            table = pyarrow.ipc.open_file(source).read_all()
    return _Parts(table.schema, [table.num_rows], lambda _, columns: table.select(columns))


def _text(value: Any, labels: list[str]) -> str:
    if labels and isinstance(value, int) and 0 <= value < len(labels):
        return labels[value]
    return str(value) if isinstance(value, str | int | float) else ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
