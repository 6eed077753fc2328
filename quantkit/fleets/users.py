"""Who gets artifacts: the rows of a table, or the values of a column of one corpus.

::

    user    audio               language
    ann     recordings/ann      en
    ben     s3://voices/ben     de

Columns ``user`` and ``audio`` are required. ``speaker``, ``gender``, ``language`` and ``split``
filter the clips; other columns are ignored. Paths start at the table's folder.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from quantkit.audio.selection import Selection
from quantkit.audio.utterance import Corpus
from quantkit.errors import InputError
from quantkit.fleets.storage.places import joined, parent_of, read_place
from quantkit.printable import printable

#: Columns of a corpus whose values may be users.
By = Literal["speaker", "gender", "language"]
BY: tuple[By, ...] = ("speaker", "gender", "language")

_NEEDED = ("user", "audio")
_FILTERS = ("speaker", "gender", "language", "split")
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class FleetUser:
    """One user.

    Args:
        name: unique in the fleet.
        audio: path or URL of a folder, a table of clips or a file.
        speaker, gender, language, split: that the clips must have; empty: any.
        problem: why there can be no artifact, in words.
    """

    name: str
    audio: str
    speaker: str = ""
    gender: str = ""
    language: str = ""
    split: str = ""
    problem: str = ""

    def narrowed(self, selection: Selection) -> Selection:
        """``selection`` with what the user's own row asks for.

        Raises:
            InputError: a value that no corpus can have.
        """
        own = {name: value for name in _FILTERS if (value := getattr(self, name))}
        return replace(selection, **own)


@dataclass(frozen=True)
class UserTable:
    """What :func:`read_users` found.

    Args:
        users: at least one.
        ignored: columns that mean nothing here.
    """

    users: tuple[FleetUser, ...]
    ignored: tuple[str, ...] = ()


def read_users(place: str) -> UserTable:
    """The users of a table: tab-separated, or with commas where its name ends in ``.csv``.

    Users whose row cannot be used have a problem; the others are not held up by it.

    Raises:
        InputError: the table cannot be read, lacks a column, has a row of another length, or names
            no user.
    """
    where = printable(place)
    rows = list(_rows(place, where))
    if not rows:
        raise InputError(f"{where} is empty; its first line must name the columns user and audio")
    (_, header), *others = rows
    header = [name.strip() for name in header]
    missing = [name for name in _NEEDED if name not in header]
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if missing or repeated:
        problem = f"no column {' and '.join(missing)}" if missing else f"two columns {repeated[0]}"
        raise InputError(
            f"{where}, line 1: {problem}; the columns are user, audio and, where wanted, "
            f"{', '.join(_FILTERS)}"
        )
    users, lines, base = [], list[int](), parent_of(place)
    for line, fields in others:
        if len(fields) != len(header):
            raise InputError(
                f"{where}, line {line}: {len(fields)} fields, but the header names {len(header)} "
                "columns"
            )
        values = {name: value.strip() for name, value in zip(header, fields, strict=True)}
        if not values["user"]:
            raise InputError(f"{where}, line {line}: the user has no name")
        filters = {name: values[name] for name in _FILTERS if name in values}
        problem = "" if values["audio"] else "no audio is named"
        audio = joined(base, values["audio"]) if values["audio"] else ""
        users.append(FleetUser(values["user"], audio, **filters, problem=problem))
        lines.append(line)
    if not users:
        raise InputError(f"{where} names no user")
    known = {*_NEEDED, *_FILTERS}
    ignored = tuple(name for name in header if name not in known)
    return UserTable(_without_ambiguous(users, lines), ignored)


def users_by(corpus: Corpus, place: str, by: By) -> UserTable:
    """A user for each value of a column of ``corpus``, in order.

    Args:
        place: of the corpus.

    Raises:
        InputError: no clip has a value there.
    """
    values = corpus.values(by)
    if not values:
        raise InputError(f"no clip of {corpus.name} says its {by}")
    users = []
    for value in values:
        filters: dict[str, str] = {by: value}
        users.append(FleetUser(value, place, **filters))
    return UserTable(tuple(users))


def chosen_users(users: Sequence[FleetUser], names: Sequence[str]) -> tuple[FleetUser, ...]:
    """Those of some names; all where none is named.

    Raises:
        InputError: there is none of such a name.
    """
    known = {user.name for user in users}
    if unknown := [name for name in names if name not in known]:
        shown = ", ".join(map(printable, sorted(known)[:_NAMES_SHOWN]))
        raise InputError(f"there is no user {printable(unknown[0])}; there are {shown} …")
    return tuple(user for user in users if not names or user.name in names)


def _without_ambiguous(users: Sequence[FleetUser], lines: Sequence[int]) -> tuple[FleetUser, ...]:
    """Nobody can tell which of two rows of one name is meant, so neither is taken."""
    named: dict[str, list[int]] = {}
    for user, line in zip(users, lines, strict=True):
        named.setdefault(user.name, []).append(line)
    return tuple(
        replace(user, problem=f"the name stands in lines {_listed(named[user.name])}")
        if len(named[user.name]) > 1
        else user
        for user in users
    )


def _listed(lines: Sequence[int]) -> str:
    return f"{', '.join(map(str, lines[:-1]))} and {lines[-1]}"


def _rows(place: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Line and fields of each row that is not empty."""
    try:
        text = read_place(place).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8: {error.reason} at byte {error.start}") from error
    if "\0" in text:
        before = text.count("\n", 0, text.index("\0"))
        raise InputError(f"{where}, line {before + 1}: holds a NUL byte; a text file is needed")
    if place.lower().endswith(".csv"):
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            for fields in reader:
                if any(fields):
                    yield reader.line_num, fields
        except csv.Error as error:
            raise InputError(f"{where}, line {reader.line_num}: {error}") from error
        return
    # str.splitlines also splits at characters that a name may have (U+2028, \x0b).
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r").split("\t")
