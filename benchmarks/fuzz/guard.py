"""What a case may not do besides: open a socket, leave its folder, start a program.

Python's audit events show all that goes through the interpreter; they cannot be switched off again,
so this is for processes of their own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = frozenset(
    (
        *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink"),
        *("os.truncate", "os.chmod", "os.chown", "os.utime", "shutil.rmtree"),
    )
)
_RUNNING = frozenset(("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"))
# Which of the arguments are places that are changed, where it is not the first.
_PLACES = {"os.rename": slice(0, 2), "os.link": slice(1, 2), "os.symlink": slice(1, 2)}
_HARMLESS = ("/dev/null", "/proc/self/")


class Guard:
    """Notes what is done against the rules.

    Args:
        writable: folders in which files may be made and changed.
        secret: a folder that lies beside the cases; what is in it may not even be read.
    """

    def __init__(self, writable: list[Path], secret: Path) -> None:
        self._writable = tuple(os.path.realpath(folder) + os.sep for folder in writable)
        self._secret = os.path.realpath(secret) + os.sep
        self._is_on = False
        self.broken: list[str] = []
        sys.addaudithook(self._hear)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what is done in the block."""
        self.broken = []
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_on:
            return
        if event.startswith("socket."):
            self._note(f"{event} {arguments[1:]!r}")
        elif event in _RUNNING:
            if str(arguments[0]) != sys.executable:
                self._note(f"{event} {arguments[:2]!r}")
        elif event == "open":
            self._hear_open(*arguments)
        elif event in _CHANGING:
            for place in arguments[_PLACES.get(event, slice(0, 1))]:
                if isinstance(place, str | bytes | os.PathLike):
                    self._require_writable(event, place)

    def _hear_open(self, place: Any, mode: Any, flags: Any) -> None:
        if not isinstance(place, str | bytes | os.PathLike):
            return
        if isinstance(flags, int) and flags & _WRITING:
            self._require_writable("open", place)
        elif self._path(place).startswith(self._secret):
            self._note(f"read {place!r}")

    def _require_writable(self, event: str, place: str | bytes | os.PathLike[Any]) -> None:
        path = self._path(place)
        if not (path + os.sep).startswith(self._writable) and not path.startswith(_HARMLESS):
            self._note(f"{event} {path!r}")

    @staticmethod
    def _path(place: str | bytes | os.PathLike[Any]) -> str:
        # The last part may be a link that is itself replaced.
        path = Path.cwd() / os.fsdecode(place)
        return f"{os.path.realpath(path.parent)}{os.sep}{path.name}"

    def _note(self, what: str) -> None:
        self.broken.append(what)
