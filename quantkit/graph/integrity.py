"""The checksum that an artifact carries: every byte of it counts, the weights beside it too.

The last bytes of the file are one more metadata entry of the model, ``quantkit.sha256``: the
SHA-256 of all bytes before it, and then of its external files in the order of their names.
Serialized protobuf messages that are concatenated merge into one
(https://protobuf.dev/programming-guides/encoding/#last-one-wins), so the file stays a plain ONNX
model; and since the entry has a fixed length and place, nothing is parsed to find it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from quantkit.disk.reading import require_regular
from quantkit.errors import ModelError

CHECKSUM_KEY = "quantkit.sha256"

_DIGITS = 64
# ModelProto.metadata_props is field 14, key and value of an entry are fields 1 and 2; all are
# length-delimited (wire type 2), and every length fits into one byte.
_KEY = bytes([1 << 3 | 2, len(CHECKSUM_KEY)]) + CHECKSUM_KEY.encode()
_VALUE_HEAD = bytes([2 << 3 | 2, _DIGITS])
_HEAD = bytes([14 << 3 | 2, len(_KEY) + len(_VALUE_HEAD) + _DIGITS]) + _KEY + _VALUE_HEAD
_ENTRY_BYTES = len(_HEAD) + _DIGITS
_CHUNK_BYTES = 1 << 20


def append_checksum(path: Path, external: Iterable[Path] = ()) -> None:
    """Seal a finished ``.onnx``, which has no checksum yet.

    Args:
        external: the files with its external weights, in the order of their names.

    Raises:
        OSError: a file cannot be read or written.
    """
    with path.open("rb+") as stream:
        digest = _digest(stream, path.stat().st_size, external)
        stream.seek(0, os.SEEK_END)
        stream.write(_HEAD + digest.encode())


def stored_checksum(path: Path) -> str:
    """The checksum at the end of the file, 64 hexadecimal digits; empty where there is none.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        return _stored(stream, path.stat().st_size)


def check_integrity(path: Path, external: Iterable[Path] = ()) -> None:
    """Compare an artifact with its checksum, reading it piece by piece.

    Args:
        external: the files with its external weights, in the order of their names.

    Raises:
        ModelError: it has no checksum or another one, or a file cannot be read.
    """
    try:
        require_regular(path)
        size = path.stat().st_size
        with path.open("rb") as stream:
            expected = _stored(stream, size)
            if not expected:
                raise ModelError(
                    f"{path} is damaged: it has quantkit's metadata, but not the checksum at its "
                    "end, because it was cut off or another tool changed it; fetch or make it again"
                )
            stream.seek(0)
            found = _digest(stream, size - _ENTRY_BYTES, external)
    except OSError as error:
        name = error.filename or path
        raise ModelError(f"cannot read {name}: {error.strerror or error}") from error
    if found != expected:
        raise ModelError(
            f"{path} is damaged: its content does not match its checksum, or another tool changed "
            "it; fetch or make it again"
        )


def _stored(stream: IO[bytes], size: int) -> str:
    if size < _ENTRY_BYTES:
        return ""
    stream.seek(size - _ENTRY_BYTES)
    head, digits = stream.read(len(_HEAD)), stream.read(_DIGITS)
    # Other than ASCII are not hexadecimal digits either, and equal no digest.
    return digits.decode("ascii", errors="replace") if head == _HEAD else ""


def _digest(stream: IO[bytes], size: int, external: Iterable[Path]) -> str:
    """SHA-256 of the next ``size`` bytes of ``stream`` and of all files in ``external``."""
    digest = hashlib.sha256()
    while size > 0 and (chunk := stream.read(min(size, _CHUNK_BYTES))):
        digest.update(chunk)
        size -= len(chunk)
    for file in external:
        with file.open("rb") as inner:
            while chunk := inner.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()
