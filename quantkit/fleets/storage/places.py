"""A place by its name: a URL, or a path on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantkit.audio.corpora import is_table, open_corpus
from quantkit.audio.decode import audio_seconds
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.disk.reading import read_bytes
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import InputError
from quantkit.fleets.storage.base import Storage
from quantkit.fleets.storage.local import LocalStorage
from quantkit.printable import printable

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.*|[A-Za-z0-9+.-]+::.*")


def is_url(place: str) -> bool:
    """Whether fsspec is to open it.

    >>> is_url("s3://bucket/users"), is_url("recordings/ann"), is_url("C:/ann")
    (True, False, False)
    """
    return _URL.fullmatch(place) is not None


def open_storage(place: str) -> Storage:
    """The place of that name.

    Raises:
        MissingDependencyError, InputError: see
            :class:`~quantkit.fleets.storage.remote.RemoteStorage`.
    """
    if is_url(place):
        from quantkit.fleets.storage.remote import RemoteStorage

        return RemoteStorage(place)
    return LocalStorage(Path(place))


def joined(base: str, place: str) -> str:
    """``place`` as it is named in a table that lies in ``base``.

    >>> joined("s3://bucket/lists", "ann"), joined("lists", "/audio/ann")
    ('s3://bucket/lists/ann', '/audio/ann')
    """
    if is_url(place) or Path(place).is_absolute():
        return place
    return f"{base.rstrip('/')}/{place}" if is_url(base) else str(Path(base) / place)


def parent_of(place: str) -> str:
    """What lies around a file.

    >>> parent_of("s3://bucket/lists/users.tsv"), parent_of("users.tsv")
    ('s3://bucket/lists', '.')
    """
    return place.rpartition("/")[0] if is_url(place) else str(Path(place).parent)


def read_place(place: str) -> bytes:
    """A small file.

    Raises:
        InputError: it cannot be read.
    """
    if is_url(place):
        content = open_storage(parent_of(place)).read(place.rpartition("/")[2])
        if content is None:
            raise InputError(f"there is nothing at {printable(place)}")
        return content
    try:
        return read_bytes(Path(place))
    except OSError as error:
        raise InputError(f"cannot read {printable(place)}: {error.strerror or error}") from error


@contextmanager
def opened_corpus(place: str) -> Iterator[Corpus]:
    """The clips of a folder, a table or a file; those of a URL lie here while the block lasts.

    Raises:
        CorpusError, AudioError: there are none.
        MissingDependencyError, InputError, OutputError: see
            :func:`~quantkit.fleets.storage.remote.fetch`.
    """
    if not is_url(place):
        yield _corpus(Path(place))
        return
    from quantkit.fleets.storage.remote import fetch

    with TemporaryFolder("audio") as folder:
        yield _corpus(fetch(place, folder))


def _corpus(path: Path) -> Corpus:
    if not path.is_file() or is_table(path):
        return open_corpus(path)
    seconds = audio_seconds(path, complete=False)
    return Corpus(printable(path), (Utterance(path, name=path.name, seconds=seconds),))
