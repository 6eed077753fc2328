"""Renames that are done together: noted before the first, so that a later process can finish them.

A process that is killed between two renames leaves the note. Whoever finds it does the rest. The
note lies in a folder beside the places that are replaced, with what is to be put there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

_NAME = "renames.json"


def rename_together(folder: Path, moves: Sequence[tuple[str, str]]) -> None:
    """Do all ``moves``, or leave a note of them for :func:`finish_renames`.

    Args:
        folder: a temporary one, for this alone.
        moves: pairs of paths from the parent of ``folder``, in order: each has one side in
            ``folder`` and the other beside it.

    Raises:
        OSError: a rename is refused; the note stays if others were done already.
    """
    note = folder / _NAME
    draft = note.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as stream:
        json.dump(moves, stream)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(note)
    _do([(folder.parent / source, folder.parent / target) for source, target in moves], folder)
    note.unlink()


def has_unfinished_renames(folder: Path) -> bool:
    """Whether ``folder`` holds a note."""
    return (folder / _NAME).is_file()


def finish_renames(folder: Path) -> None:
    """Do the rest of what the note in ``folder`` says; if nothing was done yet, forget it.

    Raises:
        OSError: a rename is refused; the note stays.
    """
    note = folder / _NAME
    if not has_unfinished_renames(folder):
        return
    moves = _read(note, folder)
    if moves and _is_done(*moves[0], folder):
        _do(moves, folder)
    note.unlink()


def _do(moves: Sequence[tuple[Path, Path]], folder: Path) -> None:
    for source, target in moves:
        if not _is_done(source, target, folder):
            source.replace(target)


def _is_done(source: Path, target: Path, folder: Path) -> bool:
    # What was moved into the folder may have a successor in its old place by now.
    moved_aside = target.parent == folder and os.path.lexists(target)
    return moved_aside or not os.path.lexists(source)


def _read(note: Path, folder: Path) -> list[tuple[Path, Path]]:
    """The moves; none if the note is not one that :func:`rename_together` wrote."""
    try:
        moves = [(str(source), str(target)) for source, target in json.loads(note.read_bytes())]
    except (ValueError, TypeError, RecursionError):
        return []
    # The folder may have come in somebody's archive: nothing outside it and its parent is touched.
    if not all(_is_within(a, folder) != _is_within(b, folder) for a, b in moves):
        return []
    if not all(_is_safe(each, folder) for move in moves for each in move):
        return []
    return [(folder.parent / source, folder.parent / target) for source, target in moves]


def _is_within(path: str, folder: Path) -> bool:
    return path.startswith(f"{folder.name}/")


def _is_safe(path: str, folder: Path) -> bool:
    name = path.removeprefix(f"{folder.name}/")
    return bool(name) and name not in (".", "..", _NAME) and "/" not in name and "\0" not in name
