"""A folder of audio with a ``manifest.tsv``.

The first line names the tab-separated columns ``path split speaker gender language seconds text``,
or other names of :mod:`~quantkit.audio.corpora.columns`. ``path`` and ``text`` are required, the
other columns are optional, and further columns divide clips into slices (``--by dialect``).
Paths are relative to the folder. An empty field means unknown; an empty ``text`` means that the
clip has no transcript.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from quantkit.audio.corpora.columns import further, gender_of, renamed
from quantkit.audio.corpora.files import contained_path, file_problem, read_lines
from quantkit.audio.decode import MAX_SECONDS
from quantkit.audio.utterance import Corpus, Utterance, usable_corpus
from quantkit.errors import CorpusError
from quantkit.printable import printable

MANIFEST_NAME = "manifest.tsv"
COLUMNS = ("path", "split", "speaker", "gender", "language", "seconds", "text")
_NEEDED = ("path", "text")


def load_manifest(folder: Path, max_seconds: float = MAX_SECONDS) -> Corpus:
    """Read ``folder/manifest.tsv``.

    Clips that are missing, empty or longer than ``max_seconds`` are skipped and listed in
    ``Corpus.skipped``. No audio file is opened.

    Raises:
        CorpusError: no manifest, not UTF-8, a missing column or field, a path that is repeated or
            leaves the folder, an invalid duration or gender (all with the line number), or no clip
            is left.
    """
    manifest = folder / MANIFEST_NAME
    lines = read_lines(manifest)
    if not lines:
        raise CorpusError(f"{manifest} is empty; its first line must name the columns")
    header = [name.strip() for name in lines[0].split("\t")]
    columns = renamed(header)
    _check_header(manifest, header, columns)

    root = folder.resolve()
    utterances: list[Utterance] = []
    skipped: list[str] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        where = f"{manifest}, line {number}"
        fields = line.split("\t")
        if len(fields) != len(header):
            raise CorpusError(
                f"{where}: {len(fields)} fields, but the header names {len(header)} columns; "
                "separate them with single tabs"
            )
        values = {name: value.strip() for name, value in zip(header, fields, strict=True)}
        row = {ours: values[theirs] for ours, theirs in columns.items()}
        name = row["path"]
        path = contained_path(folder, root, name, where)
        key = path.as_posix()
        if key in line_of:
            raise CorpusError(f"{where}: {name!r} is already named in line {line_of[key]}")
        line_of[key] = number
        seconds = _seconds(row.get("seconds", ""), where)
        problem = file_problem(path)
        if problem is None and seconds > max_seconds:
            problem = f"lasts {seconds:.0f} s; the limit is {max_seconds:g} s"
        if problem is not None:
            skipped.append(f"{printable(path)}: {problem}")
            continue
        utterances.append(
            Utterance(
                path=path,
                # Accented letters must compare equal, whether an editor wrote them composed or
                # decomposed.
                text=unicodedata.normalize("NFC", row["text"]) or None,
                speaker=row.get("speaker", ""),
                gender=_gender(row.get("gender", ""), where),
                language=row.get("language", ""),
                split=row.get("split", ""),
                seconds=seconds,
                name=printable(name),
                columns=further(columns, values),
            )
        )
    return usable_corpus(str(folder), utterances, skipped)


def _check_header(manifest: Path, header: list[str], columns: Mapping[str, str]) -> None:
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise CorpusError(
            f"{manifest}, line 1: no column {' and '.join(missing)}; "
            f"the tab-separated columns are {' '.join(COLUMNS)}"
        )
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise CorpusError(f"{manifest}, line 1: column {repeated[0]!r} is named twice")


def _seconds(value: str, where: str) -> float:
    try:
        seconds = float(value) if value else 0.0
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0.0):
        raise CorpusError(f"{where}: seconds is {value!r}; a number like 2.35 is needed")
    return seconds


def _gender(value: str, where: str) -> str:
    gender = gender_of(value)
    if value and not gender:
        raise CorpusError(f"{where}: gender is {value!r}; m, f or nothing is needed")
    return gender
