"""``.nemo``: an archive (tar) of a model's configuration, its tokenizers and its weights."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, cast

from quantkit.errors import InputError
from quantkit.text.label_files.nemo import table_of_config
from quantkit.text.label_files.plain_text import decoded
from quantkit.text.label_files.table import LabelTable

CONFIG = "model_config.yaml"
_WANTED = (".yaml", ".model")
_GZIP = b"\x1f\x8b"
_BLOCK = 512
_FILES = (b"0", b"\0")
_MOST_MEMBERS = 10_000
# Of one file that is read, of all of them, and of what an archive unpacks to.
_MOST_BYTES, _MOST_IN_ALL, _MOST_UNPACKED = 32 << 20, 64 << 20, 4 << 30


def table_of_archive(path: Path) -> LabelTable:
    """The labels of a NeMo model. Its weights are passed over, and nothing is unpacked to disk.

    Raises:
        InputError: it cannot be read, or has no labels.
        MissingDependencyError: see :func:`~.nemo.table_of_config`.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"cannot read labels {path}: it is no file")
    try:
        with path.open("rb") as stream:
            is_packed = stream.read(2) == _GZIP
            stream.seek(0)
            opened = cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if is_packed else stream
            files = _members(opened, path)
    except InputError:
        raise
    except (gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise InputError(f"{path} is not an archive of NeMo, or is damaged") from error
    except OSError as error:
        raise InputError(f"cannot read labels {path}: {error.strerror or error}") from error
    if CONFIG not in files:
        raise InputError(f"{path} is not an archive of NeMo: it has no {CONFIG}")
    text = decoded(files[CONFIG], f"{path}, {CONFIG}")
    table = table_of_config(text, str(path), files.keys(), files.__getitem__)
    if table is None:
        raise InputError(f"{path} has no labels: its {CONFIG} lists none, and names no tokenizer")
    return table


def _members(stream: IO[bytes], path: Path) -> dict[str, bytes]:
    """Content of the files that may hold labels, by their name without a folder (POSIX ustar)."""
    found: dict[str, bytes] = {}
    position = 0
    for _ in range(_MOST_MEMBERS):
        stream.seek(position)
        header = stream.read(_BLOCK)
        if len(header) < _BLOCK or not any(header):
            break
        size = _size(header[124:136])
        name = PurePosixPath(header[:100].split(b"\0")[0].decode("utf-8", "replace")).name
        if header[156:157] in _FILES and name.lower().endswith(_WANTED):
            if size > _MOST_BYTES or size + sum(map(len, found.values())) > _MOST_IN_ALL:
                raise InputError(f"{path}: {name} is larger than any tokenizer")
            content = stream.read(size)
            if len(content) < size:
                raise ValueError("cut off")
            found[name] = content
        position += _BLOCK + size + -size % _BLOCK
        if position > _MOST_UNPACKED:
            break
    return found


def _size(field: bytes) -> int:
    """In octal digits, or of large files in base 256.

    Raises:
        ValueError: neither.
    """
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    return int(field.strip(b" \0") or b"0", 8)
