"""Which licence a bundle gets: that of the model's metadata, in full where its text is at hand."""

from __future__ import annotations

import re
from pathlib import Path

from quantkit.disk import reading
from quantkit.errors import InputError

_NAMES = ("LICENCE", "LICENSE", "LICENCE.txt", "LICENSE.txt", "LICENCE.md", "LICENSE.md")

_CREATIVE_COMMONS = re.compile(
    r"(?:creative\s+commons\s+|\b)(?:attribution|cc[ -]by)"
    r"(?P<nc>[ -](?:noncommercial|non-commercial|nc))?"
    r"(?P<more>[ -](?:sharealike|share\s+alike|sa|noderivatives|noderivs|nd))?"
    r"\s*-?\s*(?P<version>\d\.\d)",
)
# Words that only texts of a licence have, by its SPDX identifier; the more special come first.
_PHRASES = (
    ("CC0-1.0", r"cc0[ -]1\.0|\bcc0 1\.0 universal"),
    ("Apache-2.0", r"apache\s+license,?\s+(?:version\s+)?2\.0|\bapache-2\.0\b|\bapache 2\.0\b"),
    ("AGPL-3.0", r"gnu affero general public license|\bagpl-3\.0"),
    ("LGPL-3.0", r"gnu lesser general public license\s+version 3|\blgpl-3\.0"),
    ("LGPL-2.1", r"gnu lesser general public license\s+version 2\.1|\blgpl-2\.1"),
    ("GPL-3.0", r"gnu general public license\s+version 3|\bgpl-3\.0"),
    ("GPL-2.0", r"gnu general public license\s+version 2|\bgpl-2\.0"),
    ("MPL-2.0", r"mozilla public license,?\s+(?:version\s+)?2\.0|\bmpl-2\.0"),
    ("MIT", r"permission is hereby granted, free of charge|^mit(?: licen[sc]e)?$"),
    ("ISC", r"permission to use, copy, modify, and(?:/or)? distribute this software|^isc$"),
    ("BSD-3-Clause", r"neither the name of|\bbsd-3-clause\b"),
    ("BSD-2-Clause", r"redistribution and use in source and binary forms|\bbsd-2-clause\b"),
    ("Unlicense", r"this is free and unencumbered software|^unlicense$"),
    ("OpenRAIL", r"\bopen ?rail|responsible ai licen[sc]e"),
)


def licence_in(text: str) -> str:
    """SPDX identifier of the licence that a text names first; empty if it is none of the usual.

    >>> licence_in("cc-by-sa-4.0"), licence_in("Permission is hereby granted, free of charge")
    ('CC-BY-SA-4.0', 'MIT')

    Args:
        text: a whole licence, or the short name of one.
    """
    plain = " ".join(text.casefold().split())
    found = [
        (match.start(), name)
        for name, pattern in _PHRASES
        if (match := re.search(pattern, plain)) is not None
    ]
    if (match := _CREATIVE_COMMONS.search(plain)) is not None:
        parts = ["CC-BY"]
        parts += ["NC"] if match["nc"] else []
        if more := match["more"]:
            parts.append("SA" if "s" in more[1:2] else "ND")
        found.append((match.start(), "-".join([*parts, match["version"]])))
    # A text with three clauses has the words of two, and before them.
    names = {name for _, name in found}
    if {"BSD-2-Clause", "BSD-3-Clause"} <= names:
        found = [each for each in found if each[1] != "BSD-2-Clause"]
    return min(found, default=(0, ""))[1]


def licence_text(model: Path, in_metadata: str, chosen: str) -> str:
    """The text for the bundle of ``model``.

    What the metadata say wins: they travel with the weights, and a file beside the model may be
    that of the code around it.

    Args:
        in_metadata: the licence that the model's metadata name; empty if they name none.
        chosen: path of the text to take; or the name that the metadata have, to take that; empty:
            the text beside the model, where it is that of the licence in the metadata.

    Raises:
        InputError: no licence is known; a text cannot be read; or the text beside the model is not
            known to be that of the licence in the metadata.
    """
    if chosen:
        return _chosen(model, in_metadata, chosen)
    beside = next((p for name in _NAMES if (p := model.parent / name).is_file()), None)
    if beside is None:
        if in_metadata:
            return _short(in_metadata)
        raise InputError(
            f"no licence of {model} is known: give its text with --licence FILE, or put it beside "
            "the model as LICENCE"
        )
    text = read_text(beside)
    if in_metadata and not _same(in_metadata, text):
        found = licence_in(text)
        what = f"holds {found}" if found else "is not known to be its text"
        raise InputError(
            f"{model} is under {in_metadata!r} by its metadata, and {beside} {what}: decide with "
            f"--licence {_quoted(in_metadata)} for the former, or --licence FILE for a text"
        )
    return text


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        return reading.read_text(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; convert it") from error


def _chosen(model: Path, in_metadata: str, chosen: str) -> str:
    path = Path(chosen)
    if path.exists() or not in_metadata or chosen.casefold() != in_metadata.casefold():
        return read_text(path)
    return _short(in_metadata)


def _short(name: str) -> str:
    return f"Licence of this model: {name}\n"


def _same(name: str, text: str) -> bool:
    known = licence_in(name)
    if known:
        return known == licence_in(text)
    return " ".join(name.casefold().split()) in " ".join(text.casefold().split())


def _quoted(name: str) -> str:
    return f"'{name}'" if re.search(r"[^\w.+-]", name) else name
