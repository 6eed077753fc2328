"""A folder at a URL, such as ``s3://bucket/fleet``, by way of fsspec."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import AudioError, InputError, MissingDependencyError, OutputError
from quantkit.printable import printable

_CHUNK_BYTES = 1 << 20
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "r2"})


class RemoteStorage:
    """Objects under a URL.

    Object stores write an object whole. Where a place does not, a record that was written after the
    files that it names, with their checksums, tells what is complete. There is no lock: two runs at
    one place do the same work twice and write the same results.

    Args:
        url: of the folder; settings and credentials are those of the fsspec implementation, such as
            the variables ``AWS_ENDPOINT_URL`` and ``AWS_ACCESS_KEY_ID`` of s3fs.

    Raises:
        MissingDependencyError: fsspec, or what it needs for this URL, is not installed.
        InputError: fsspec knows no such kind of URL.
    """

    def __init__(self, url: str) -> None:
        self.place = url.rstrip("/")
        self._system, self._root = opened(self.place)

    def read(self, name: str) -> bytes | None:
        """See :class:`~quantkit.fleets.storage.base.Storage`; likewise below."""
        with self._told("read", name):
            try:
                return bytes(self._system.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        with self._told("write", name):
            self._made_for(name)
            self._system.pipe_file(self._path(name), content)

    def put(self, name: str, source: Path) -> None:
        with self._told("write", name):
            self._made_for(name)
            self._system.put_file(str(source), self._path(name))

    def digest(self, name: str) -> tuple[int, str] | None:
        found, size = hashlib.sha256(), 0
        with self._told("read", name):
            try:
                with self._system.open(self._path(name), "rb") as stream:
                    while chunk := stream.read(_CHUNK_BYTES):
                        found.update(chunk)
                        size += len(chunk)
            except FileNotFoundError:
                return None
        return size, found.hexdigest()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with TemporaryFolder("fleet") as folder:
            yield folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        yield

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        yield

    def work_folder(self, name: str) -> Path | None:
        return None

    def forget_work(self, name: str = "") -> None:
        """Nothing is kept."""

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _made_for(self, name: str) -> None:
        # Object stores have no folders, and some would make a bucket of a misspelt name.
        protocol = self._system.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        if not names & _OBJECT_STORES:
            self._system.makedirs(str(PurePosixPath(self._path(name)).parent), exist_ok=True)

    @contextmanager
    def _told(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        # What an implementation of fsspec raises is not specified.
        except Exception as error:
            raise OutputError(f"cannot {verb} {self.place}/{name}: {_reason(error)}") from error


def opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it without a slash at its end.

    Raises:
        MissingDependencyError, InputError: see :class:`RemoteStorage`.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingDependencyError(
            f"{printable(url)} is a URL, which needs fsspec: pip install 'quantkit[fleet]'"
        ) from error
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise MissingDependencyError(f"{printable(url)} cannot be opened: {error}") from error
    except Exception as error:
        raise InputError(f"{printable(url)} cannot be opened: {_reason(error)}") from error
    return system, str(path).rstrip("/")


def fetch(url: str, folder: Path) -> Path:
    """Copy the file or folder at ``url`` into ``folder``; where it lies then.

    Raises:
        AudioError: nothing is there, it cannot be read, or a name in it leads out of the folder.
        MissingDependencyError, InputError: see :class:`RemoteStorage`.
    """
    system, path = opened(url)
    target = folder / (PurePosixPath(path).name or "audio")
    try:
        found = system.find(path)
    except Exception as error:
        raise AudioError(f"cannot read {printable(url)}: {_reason(error)}") from error
    if not found:
        raise AudioError(f"there is nothing at {printable(url)}")
    for each in found:
        inside = PurePosixPath(each).relative_to(path) if each != path else PurePosixPath()
        if ".." in inside.parts:
            raise AudioError(f"{printable(each)} leads out of {printable(url)}")
        place = target / inside
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(each, str(place))
        except OSError as error:
            if error.filename is not None and str(error.filename).startswith(str(folder)):
                raise OutputError(f"cannot write {place}: {error.strerror or error}") from error
            raise AudioError(f"cannot read {printable(each)}: {_reason(error)}") from error
        except Exception as error:
            raise AudioError(f"cannot read {printable(each)}: {_reason(error)}") from error
    return target


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(printable(text).split()) or type(error).__name__
