"""Writing files so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantkit.errors import FormatError, OutputError

_CHUNK_BYTES = 1 << 20


@contextmanager
def atomic_path(destination: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``destination`` that replaces it when the block succeeds.

    On any failure the temporary file is removed and ``destination`` keeps its old content.

    Raises:
        OutputError: the folder cannot be created or the file cannot be written.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=destination.parent, prefix=f".{destination.name}.", suffix=destination.suffix
        )
        os.close(handle)
    except OSError as error:
        raise OutputError(f"cannot write {destination}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; results are meant to be read by others.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(destination)
    except OutputError:
        raise
    except OSError as error:
        if error.filename is not None and Path(str(error.filename)) not in (temporary, destination):
            raise
        raise OutputError(f"cannot write {destination}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(destination: Path, content: bytes) -> None:
    """Write ``content`` to ``destination`` atomically."""
    with atomic_path(destination) as temporary:
        temporary.write_bytes(content)


def write_text(destination: Path, content: str) -> None:
    """Write ``content`` to ``destination`` atomically, in UTF-8."""
    write_bytes(destination, content.encode("utf-8"))


def write_json(destination: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically."""
    write_text(destination, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(source: Path, schema: str) -> dict[str, Any]:
    """Read a JSON object whose ``schema`` field must equal ``schema``.

    Raises:
        FormatError: missing file, not JSON, not an object, or another schema.
    """
    try:
        content: Any = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise FormatError(f"cannot read {source}: {error.strerror or error}") from error
    except ValueError as error:
        raise FormatError(f"{source} is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != schema:
        found = content.get("schema") if isinstance(content, dict) else None
        raise FormatError(f"{source} has schema {found!r}; this version reads {schema!r}")
    return content


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
