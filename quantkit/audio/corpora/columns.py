"""Columns of tables of clips, by the names that people give them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

#: Other names of each column; the first that a table has counts.
NAMES: Mapping[str, tuple[str, ...]] = {
    "path": (
        "path",
        "audio_filepath",
        "file_name",
        "filename",
        "file",
        "audio",
        "audio_path",
        "audio_file",
        "wav",
        "wav_path",
        "wav_filename",
        "clip",
    ),
    "text": (
        "text",
        "sentence",
        "transcript",
        "transcription",
        "normalized_text",
        "raw_text",
        "utterance",
    ),
    "speaker": ("speaker", "speaker_id", "client_id", "spk", "spk_id", "speaker_name"),
    "gender": ("gender", "sex"),
    "language": ("language", "lang", "locale"),
    "seconds": ("seconds", "duration", "audio_duration", "duration_seconds"),
    "split": ("split", "subset"),
    "offset": ("offset",),
}

# What is longer is no property that clips share.
_LONGEST_VALUE = 100

_GENDERS = {"m": "m", "f": "f", "male": "m", "female": "f", "man": "m", "woman": "f"}
_SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
}


def renamed(header: Iterable[str]) -> dict[str, str]:
    """The column of a table for each of ours that it has.

    >>> renamed(["client_id", "path", "sentence", "up_votes"])
    {'path': 'path', 'text': 'sentence', 'speaker': 'client_id'}
    """
    known = {name.strip().lower(): name for name in header}
    found = {}
    for column, names in NAMES.items():
        if match := next((name for name in names if name in known), None):
            found[column] = known[match]
    return found


def further(columns: Mapping[str, str], row: Mapping[str, object]) -> dict[str, str]:
    """What a row says beyond our columns, by the names that its table has for it.

    >>> further({"path": "file"}, {"file": "a.wav", "Accent": " us ", "age": 30, "tags": []})
    {'accent': 'us', 'age': '30'}

    Args:
        columns: see :func:`renamed`.
    """
    known = set(columns.values())
    found = {}
    for name, value in row.items():
        plain = isinstance(value, str | int | float) and len(str(value)) <= _LONGEST_VALUE
        if name and name not in known and plain and (text := str(value).strip()):
            found[name.strip().lower()] = text
    return found


def gender_of(value: str) -> str:
    """``m``, ``f``, or empty for whatever else a table says.

    >>> gender_of("female_feminine"), gender_of("Male"), gender_of("other")
    ('f', 'm', '')
    """
    first = value.strip().lower().replace("-", "_").partition("_")[0]
    return _GENDERS.get(first, "")


def seconds_of(value: object) -> float:
    """A duration; 0, which is unknown, for what is none."""
    try:
        seconds = float(str(value))
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def split_of(name: str) -> str:
    """The split that a file or folder is of, by its name; empty where it does not say.

    >>> split_of("train-00000-of-00002"), split_of("dev_manifest"), split_of("validated")
    ('train', 'validation', '')
    """
    words = name.lower().replace("-", " ").replace("_", " ").replace(".", " ").split()
    return next((_SPLITS[word] for word in words if word in _SPLITS), "")


def split_of_file(path: Path, folder: Path) -> str:
    """The split that a list in ``folder`` is of: by its own name, else by that of its folder."""
    inside = path.parent != folder
    return split_of(path.stem) or (split_of(path.parent.name) if inside else "")
