"""A folder on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantkit.disk.files import (
    made_folder,
    make_lasting,
    output_target,
    sha256_of,
    write_bytes,
)
from quantkit.disk.locks import try_lock
from quantkit.disk.reading import read_bytes
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import InputError, OutputError

_LOCK = ".lock"
_WORK = ".work"
_LOOK_SECONDS = 0.05


class LocalStorage:
    """Files in a folder, each written beside its place and renamed.

    Args:
        folder: is made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = str(folder)

    def read(self, name: str) -> bytes | None:
        """See :class:`~quantkit.fleets.storage.base.Storage`; likewise below."""
        try:
            return read_bytes(self.folder / name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _refused(self.folder / name, error) from error

    def write(self, name: str, content: bytes) -> None:
        write_bytes(self.folder / name, content)

    def put(self, name: str, source: Path) -> None:
        target = output_target(self.folder / name)
        try:
            with made_folder(target.parent):
                make_lasting(source)
                source.replace(target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error

    def digest(self, name: str) -> tuple[int, str] | None:
        path = self.folder / name
        try:
            return path.stat().st_size, sha256_of(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _refused(path, error) from error

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        work = self._made(_WORK)
        with TemporaryFolder(beside=work) as folder:
            yield folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._locked(self._made("") / _LOCK) as handle:
            if try_lock(handle) is False:
                raise InputError(
                    f"another run is at work in {self.folder}; wait for it, or choose another "
                    "folder with -o"
                )
            yield

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        with self._locked(self._made(_WORK) / f"{name}.lock") as handle:
            while try_lock(handle) is False:
                time.sleep(_LOOK_SECONDS)
            yield

    def work_folder(self, name: str) -> Path | None:
        return self.folder / _WORK / name

    def forget_work(self, name: str = "") -> None:
        shutil.rmtree(self.folder / _WORK / name, ignore_errors=True)

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error
        return folder

    @contextmanager
    def _locked(self, path: Path) -> Iterator[int]:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        try:
            yield handle
        finally:
            os.close(handle)


def digest_of(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def _refused(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot read {path}: {error.strerror or error}")
