"""Temporary files and folders, and the removal of those that killed processes left.

Each has a name that says that it is of quantkit and of which host, and is locked as long as its
process lives. The system gives a lock back however a process ends. So what has such a name, belongs
to the same user and can be locked was abandoned, and is removed by the next process that writes to
the same folder. Where there are no such locks (Windows), nothing is removed but what a process made
itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from quantkit.disk.journal import finish_renames, has_unfinished_renames
from quantkit.disk.locks import HAVE_LOCKS, try_lock
from quantkit.errors import OutputError

# Locks are known to the processes of one host; folders may be shared between several.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_OURS = re.compile(rf"\.?quantkit-{_HOST}-[a-z-]*[0-9a-f]{{12}}(\.[^/]*)?")
_ATTEMPTS = 100

# Folders that this process has looked through already.
_swept: set[Path] = set()
# What this process has made and not removed yet.
_living: weakref.WeakSet[_Claim] = weakref.WeakSet()


class _Claim:
    """One temporary file or folder of this process, and the lock on it."""

    def __init__(self, path: Path, handle: int | None) -> None:
        self.path = path
        self._finish = weakref.finalize(self, _give_back, path, handle, os.getpid())
        _living.add(self)

    def give_back(self) -> None:
        """Remove it, if it is still there; may be called again."""
        self._finish()

    def leave(self) -> None:
        """Give back the lock alone: what is there is left to whoever sweeps the folder."""
        if (found := self._finish.detach()) is not None:
            _, _, (_, handle, _), _ = found
            if handle is not None:
                os.close(handle)


class TemporaryFolder:
    """A folder that goes with this object, with the ``with`` block, or with :meth:`cleanup`.

    ::

        with TemporaryFolder("size") as folder:
            model = folder / "model.onnx"

    Args:
        purpose: a word for its name: lower-case letters.
        beside: the folder to make it in; by default that of the system for temporary files.

    Raises:
        OutputError: it cannot be made there.
    """

    def __init__(self, purpose: str = "", beside: Path | None = None) -> None:
        try:
            parent = Path(tempfile.gettempdir()) if beside is None else beside
        except OSError as error:
            # Python has tried all folders that it knows of.
            raise OutputError(f"cannot write temporary files: {error.strerror}") from error
        try:
            self._claim = _claimed(parent, purpose, "", hidden=beside is not None, folder=True)
        except OSError as error:
            what = "temporary files in" if beside is None else "to"
            remedy = "; make room there, or let TMPDIR name another folder"
            raise OutputError(
                f"cannot write {what} {parent}: {error.strerror or error}"
                f"{remedy if beside is None else ''}"
            ) from error
        self.path = self._claim.path

    def cleanup(self) -> None:
        """Remove it and all that is in it; may be called again."""
        self._claim.give_back()

    def leave(self) -> None:
        """Keep what is in it, for the next process that sweeps the folder around it."""
        self._claim.leave()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.cleanup()


@contextlib.contextmanager
def temporary_file(folder: Path, suffix: str) -> Iterator[Path]:
    """An empty file in ``folder``; it is removed if it is still there after the block.

    Raises:
        OSError: it cannot be made.
    """
    claim = _claimed(folder, "", suffix, hidden=True, folder=False)
    try:
        yield claim.path
    finally:
        claim.give_back()


def is_own_folder(folder: Path) -> bool:
    """Whether it is a temporary folder of this process, which no other one writes to."""
    place = folder.absolute()
    return any(claim.path.absolute() == place for claim in list(_living))


def remove_all_of_this_process() -> None:
    """Remove every temporary file and folder that this process still has."""
    for claim in list(_living):
        claim.give_back()


def remove_abandoned(folder: Path | None = None) -> None:
    """Remove what killed processes of this user left in ``folder``.

    Renames that one of them was killed between are finished first. What cannot be removed is left.

    Args:
        folder: by default that of the system for temporary files.
    """
    with contextlib.suppress(OSError):
        _sweep(Path(tempfile.gettempdir()) if folder is None else folder, noted_only=False)


def finish_interrupted(folder: Path) -> bool:
    """Finish renames in ``folder`` that killed processes left half done; whether there were any."""
    try:
        return _sweep(folder, noted_only=True)
    except OSError:
        return False


def _claimed(parent: Path, purpose: str, suffix: str, *, hidden: bool, folder: bool) -> _Claim:
    if parent not in _swept:
        _swept.add(parent)
        remove_abandoned(parent)
    for _ in range(_ATTEMPTS):
        word = f"{purpose}-" if purpose else ""
        name = f"{'.' if hidden else ''}quantkit-{_HOST}-{word}{secrets.token_hex(6)}{suffix}"
        path = parent / name
        try:
            if folder:
                path.mkdir(mode=0o700)
            else:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            continue
        handle, locked = _lock(path)
        # Between its making and its lock, another process can have taken it for abandoned.
        if locked and os.path.lexists(path):
            return _Claim(path, handle)
        if handle is not None:
            os.close(handle)
    raise FileExistsError(f"no free name in {parent}")


def _lock(path: Path) -> tuple[int | None, bool]:
    """A handle that holds the lock on ``path``, and whether no other process holds it.

    Where nothing can be locked, the handle is None, and every process is alone.
    """
    if not HAVE_LOCKS:
        return None, True
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None, os.path.lexists(path)
    if locked := try_lock(handle):
        return handle, True
    os.close(handle)
    return None, locked is None


def _sweep(folder: Path, *, noted_only: bool) -> bool:
    done = False
    if not HAVE_LOCKS:
        return done
    with os.scandir(folder) as entries:
        found = [Path(entry.path) for entry in entries if _OURS.fullmatch(entry.name)]
    for path in found:
        if not _may_be_abandoned(path) or (noted_only and not has_unfinished_renames(path)):
            continue
        handle, _ = _lock(path)
        if handle is None:
            continue
        try:
            done |= has_unfinished_renames(path)
            finish_renames(path)
            _remove(path)
        except OSError:
            # What could not be put into its place is kept.
            continue
        finally:
            os.close(handle)
    return done


def _may_be_abandoned(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    ours = status.st_uid == os.geteuid()
    return ours and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))


def _give_back(path: Path, handle: int | None, process: int) -> None:
    # A forked process has the objects of its parent, and not what they stand for.
    if os.getpid() == process:
        _remove(path)
    if handle is not None:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
