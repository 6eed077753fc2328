"""Rows of text tables: CSV, TSV, and JSON, line by line or as a list."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quantkit.audio.corpora.columns import further, renamed
from quantkit.audio.corpora.files import read_lines
from quantkit.errors import CorpusError
from quantkit.printable import printable

#: Suffixes of text tables.
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson"})

_DELIMITERS = (",", "\t", ";", "|")
_HEAD_BYTES = 65_536
_KEY = re.compile(r'"(\w+)"\s*:')

#: Where it stands, and its values by our names of columns;
#: further columns by their own, see :func:`~quantkit.audio.corpora.columns.further`.
Row = tuple[str, dict[str, str]]


def table_columns(path: Path) -> Mapping[str, str]:
    """Which of our columns a table has, by its first line; none for what is no table.

    Nothing but the beginning is read.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return {}
    text = head.decode("utf-8-sig", "replace").lstrip()
    if path.suffix.lower() not in (".csv", ".tsv"):
        return renamed(_first_object(text))
    line = text.partition("\n")[0].rstrip("\r")
    return renamed(_header(line, path.suffix.lower()))


def table_rows(path: Path) -> Iterator[Row]:
    """Each row of a table, in order.

    Raises:
        CorpusError: it cannot be read, is not UTF-8, or is damaged; with the line.
    """
    lines = read_lines(path)
    if path.suffix.lower() == ".tsv":
        yield from _tsv_rows(path, lines)
    elif path.suffix.lower() == ".csv":
        yield from _csv_rows(path, lines)
    else:
        yield from _json_rows(path, lines)


def _first_object(text: str) -> Mapping[str, Any]:
    start = text.find("{")
    if start < 0 or text[:start].strip(" \t\r\n[") != "":
        return {}
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        # A damaged manifest is one all the same, and whoever reads it names the line.
        return dict.fromkeys(_KEY.findall(text.partition("\n")[0]), "")
    return found if isinstance(found, dict) else {}


def _header(line: str, suffix: str) -> list[str]:
    if suffix == ".tsv":
        return line.split("\t")
    return max((_split(line, mark) for mark in _DELIMITERS), key=len)


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        # Such as a carriage return in the middle: then it is the header of no table.
        return []


def _tsv_rows(path: Path, lines: list[str]) -> Iterator[Row]:
    """Fields as they are: Common Voice writes quotation marks that belong to sentences."""
    header = lines[0].split("\t") if lines else []
    columns = renamed(header)
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            fields = dict(zip(header, line.split("\t"), strict=False))
            yield f"{printable(path)}, line {number}", _chosen(columns, fields)


def _csv_rows(path: Path, lines: list[str]) -> Iterator[Row]:
    header = _header(lines[0], ".csv") if lines else []
    marks = (mark for mark in _DELIMITERS if lines and _split(lines[0], mark) == header)
    delimiter = next(marks, ",")
    columns = renamed(header)
    reader = csv.reader(io.StringIO("\n".join(lines[1:]), newline=""), delimiter=delimiter)
    while True:
        number = reader.line_num + 2
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise CorpusError(f"{printable(path)}, line {number}: {error}") from error
        if fields is None:
            return
        if any(fields):
            row = dict(zip(header, fields, strict=False))
            yield f"{printable(path)}, line {number}", _chosen(columns, row)


def _json_rows(path: Path, lines: list[str]) -> Iterator[Row]:
    first = next((line.lstrip() for line in lines if line.strip()), "")
    if first.startswith("["):
        rows = _parsed("\n".join(lines), printable(path))
        for number, row in enumerate(rows, start=1):
            yield _json_row(row, f"{printable(path)}, entry {number}")
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{printable(path)}, line {number}"
            yield _json_row(_parsed(line, where), where)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where}: not JSON: {error}") from error


def _json_row(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise CorpusError(f'{where}: expected a JSON object, such as {{"path": …, "text": …}}')
    return where, _chosen(renamed(row), row)


def _chosen(columns: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, str]:
    """Values by our names, then further ones; what is no text or number is unknown."""
    found = further(columns, row)
    for ours, theirs in columns.items():
        value = row.get(theirs)
        if isinstance(value, dict):
            value = value.get("path")
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            found[ours] = str(value)
    return found
