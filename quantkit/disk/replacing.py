"""Several files, or a folder, that take the place of earlier ones all at once.

After a process was killed at any moment, the earlier ones are there or the new ones: what cannot be
one rename is noted before it begins (:mod:`~quantkit.disk.journal`), and what was begun is finished
by the next process that meets it. Of two processes that write to the same place, the one that ends
last wins whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from quantkit.disk.files import made_folder, make_lasting, output_target
from quantkit.disk.journal import has_unfinished_renames, rename_together
from quantkit.disk.locks import HAVE_LOCKS, try_lock
from quantkit.disk.temporary import TemporaryFolder, finish_interrupted, is_own_folder
from quantkit.errors import OutputError

# Renames take less than a millisecond; whoever holds the lock for longer is none of us.
_LOCK_SECONDS = 10.0
_LOOK_SECONDS = 0.01
# Of renameat2(2).
_AT_WORKING_FOLDER, _RENAME_EXCHANGE = -100, 2


@contextmanager
def replaced_together(destination: Path) -> Iterator[Path]:
    """Yield a folder; its files take the places of those of the same names beside ``destination``.

    They do so when the block succeeds, ``destination`` itself last. Where ``destination`` is a
    symbolic link, the file behind it is replaced, and the others stand beside that.

    Raises:
        OutputError: the folder or disk refuses, or something that is no regular file is in the
            way; what was there before is untouched.
    """
    target = output_target(destination)
    try:
        with made_folder(target.parent), _temporary_beside(target.parent) as folder:
            with _named_as(destination.parent, folder):
                yield folder
            found = (file.name for file in folder.iterdir())
            names = sorted(found, key=lambda name: (name == target.name, name))
            for name in names:
                make_lasting(folder / name)
                output_target(target.parent / name)
            with _alone_in(target.parent):
                if len(names) == 1:
                    (folder / names[0]).replace(target.parent / names[0])
                else:
                    rename_together(folder, [(f"{folder.name}/{name}", name) for name in names])
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {destination}: {error.strerror or error}") from error


@contextmanager
def replaced_folder(destination: Path, check: Callable[[], None]) -> Iterator[Path]:
    """Yield a folder that becomes ``destination`` when the block succeeds.

    Args:
        check: raises when what is at ``destination`` must not be replaced. It is called last thing
            before, because another process can have written there meanwhile.

    Raises:
        OutputError: it cannot be written; what was at ``destination`` is still there.
    """
    place = destination.absolute()
    try:
        with made_folder(place.parent), _temporary_beside(place.parent) as folder:
            content = folder / "new"
            content.mkdir()  # with default permissions; those of the folder around it are private
            with _named_as(destination, content):
                yield content
            with _alone_in(place.parent):
                check()
                if not place.exists():
                    content.rename(place)
                elif not _exchanged(content, place):
                    inside = folder.name
                    moves = [(place.name, f"{inside}/old"), (f"{inside}/new", place.name)]
                    rename_together(folder, moves)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {destination}: {error.strerror or error}") from error


def settled(folder: Path) -> bool:
    """Wait for replacements in ``folder`` that go on, and finish those that were cut short.

    Returns:
        whether any had been cut short.
    """
    with contextlib.suppress(OSError), _alone_in(folder):
        return finish_interrupted(folder)
    return False


@contextmanager
def _named_as(destination: Path, inside: Path) -> Iterator[None]:
    """Let errors name the place that the user knows, and not the temporary folder."""
    try:
        yield
    except OutputError as error:
        text = str(error).replace(str(inside), str(destination))
        raise OutputError(text) from error.__cause__


@contextmanager
def _temporary_beside(parent: Path) -> Iterator[Path]:
    """A folder in ``parent`` that goes again, unless it holds what a later process must finish."""
    folder = TemporaryFolder(beside=parent)
    try:
        yield folder.path
    finally:
        if has_unfinished_renames(folder.path):
            folder.leave()
        else:
            folder.cleanup()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes of quantkit from renaming in ``folder`` at the same time."""
    # This process holds the lock on each of its temporary folders already.
    if not HAVE_LOCKS or is_own_folder(folder):
        yield
        return
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + _LOCK_SECONDS
        while try_lock(handle) is False and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(handle)


def _exchanged(new: Path, old: Path) -> bool:
    """Whether the two names could be exchanged in one step, which some systems have."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        exchange = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    names = (_AT_WORKING_FOLDER, os.fsencode(new), _AT_WORKING_FOLDER, os.fsencode(old))
    return int(exchange(*names, _RENAME_EXCHANGE)) == 0
