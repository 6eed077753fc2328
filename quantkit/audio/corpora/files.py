"""Shared by the corpus loaders: reading lists, checking paths, finding audio files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from quantkit.audio.decode import file_kind
from quantkit.audio.suffixes import AUDIO_SUFFIXES
from quantkit.disk.reading import open_regular
from quantkit.errors import CorpusError
from quantkit.printable import printable


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file (a byte-order mark is dropped), split at newlines only.

    Raises:
        CorpusError: the file cannot be read, or is not UTF-8 (with the line).
    """
    try:
        with open_regular(path) as stream:
            content = stream.read()
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CorpusError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise CorpusError(f"{path}, line {line}: holds a NUL byte; a text file is needed")
    # str.splitlines also splits at characters that may occur in a transcript (U+2028, \x0b).
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def contained_path(folder: Path, root: Path, name: str, where: str) -> Path:
    """``folder / name``, checked to be inside the folder even after following links.

    Args:
        folder: as the user gave it; the result starts with it.
        root: ``folder.resolve()``.
        name: a relative path with forward slashes.
        where: file and line, for the error.

    Raises:
        CorpusError: an empty or absolute path, a NUL, ``..``, or a link that leads out of the
            folder.
    """
    if not name:
        raise CorpusError(f"{where}: the path is empty")
    if "\0" in name:
        raise CorpusError(f"{where}: path {name!r} holds a NUL, which no file name has")
    relative = PurePosixPath(name)
    if (
        relative.is_absolute()
        or PureWindowsPath(name).drive
        or ".." in relative.parts
        or ".." in PureWindowsPath(name).parts
    ):
        raise CorpusError(f"{where}: path {name!r} leaves the corpus; name files inside the folder")
    path = folder / relative
    # Not Path.resolve: it raises for a loop of links on Python 3.11 and 3.12.
    if not Path(os.path.realpath(path)).is_relative_to(root):
        raise CorpusError(f"{where}: path {name!r} is a link that leaves the corpus")
    return path


def clip_problem(folder: Path, root: Path, name: str) -> str | None:
    """Why an unlisted clip found in ``folder`` cannot be used.

    Args:
        folder, root, name: see :func:`contained_path`.
    """
    try:
        return file_problem(contained_path(folder, root, name, str(folder)))
    except CorpusError:
        return "is a link that leaves the corpus"


def file_problem(path: Path) -> str | None:
    """Why ``path`` cannot be a clip, by its file type and size; ``None`` if it can."""
    try:
        status = path.stat()
    # ValueError: a NUL in the name.
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return "no such file"
        return getattr(error, "strerror", None) or str(error)
    if kind := file_kind(status.st_mode):
        return f"is {kind}"
    return None if status.st_size else "is empty"


def clip_name(folder: Path, path: Path) -> str:
    """Name of the clip at ``path``: relative to ``folder``, the same on every machine."""
    return printable(path.relative_to(folder).as_posix())


def is_audio(path: Path) -> bool:
    """Whether the suffix is that of an audio file and the file is not hidden."""
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def list_folder(folder: Path) -> list[Path]:
    """The entries of ``folder``, sorted.

    Raises:
        CorpusError: the folder cannot be listed.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise CorpusError(f"cannot list {folder}: {error.strerror or error}") from error


def walk_files(
    folder: Path, depth: int | None = None, skipped: list[str] | None = None
) -> Iterator[Path]:
    """Every file in ``folder`` and at most ``depth`` levels below it, in sorted order.

    Hidden files and folders are skipped, and linked folders are not entered.

    Args:
        skipped: receives which folders inside cannot be listed.

    Raises:
        CorpusError: ``folder`` itself cannot be listed, or one in it without ``skipped``.
    """

    def refuse(error: OSError) -> None:
        place = Path(error.filename)
        if skipped is None or place == folder:
            raise CorpusError(f"cannot list {printable(place)}: {error.strerror}") from error
        skipped.append(f"{printable(place)}: cannot be listed: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=refuse):
        level = len(Path(parent).relative_to(folder).parts)
        enter = depth is None or level < depth
        folders[:] = sorted(name for name in folders if enter and not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))
