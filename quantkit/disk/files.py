"""Reading files that can hang nobody, and writing them so that a crash or a full disk never leaves
half of one."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from quantkit.disk.reading import open_regular, read_bytes
from quantkit.disk.temporary import temporary_file
from quantkit.errors import FormatError, InputError, OutputError
from quantkit.json_fields import parse_json, shown

#: What a Git-LFS file begins with that was not fetched.
LFS_POINTER = b"version https://git-lfs.github.com/spec/"

_CHUNK_BYTES = 1 << 20


def output_target(destination: Path) -> Path:
    """The file that writing to ``destination`` must replace: behind every symbolic link.

    Raises:
        OutputError: something that is no regular file is there, or a link goes round in circles.
            Renaming onto a device or a pipe would replace it instead of writing to it.
    """
    try:
        mode = destination.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as error:
        raise OutputError(f"cannot write {destination}: {error.strerror or error}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise OutputError(f"cannot write {destination}: it is {kind}; choose a file")
    return destination.resolve()


def refuse_overwriting(destination: Path, inputs: Iterable[Path]) -> None:
    """Keep a result from replacing one of the files that it is made from.

    Raises:
        InputError: ``destination`` is one of ``inputs``, be it through links.
    """
    target = destination.resolve()
    for source in inputs:
        if source.resolve() == target:
            raise InputError(f"{destination} is itself read by this command; write to another file")


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make ``folder`` and those above it for what the block writes there.

    Those that were missing go again if the block fails and they are still empty.

    Raises:
        OSError: it cannot be made.
    """
    missing = []
    for each in (folder, *folder.parents):
        if each.exists():
            break
        missing.append(each)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for each in missing:
            with suppress(OSError):
                each.rmdir()
        raise


@contextmanager
def atomic_path(destination: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``destination`` that replaces it when the block succeeds.

    On any failure the temporary file is removed and ``destination`` keeps its old content. A
    symbolic link is kept too: the file that it leads to is replaced.

    Raises:
        OutputError: the folder cannot be created, the file cannot be written, or
            ``destination`` is there and no regular file.
    """
    target = output_target(destination)
    with ExitStack() as stack:
        try:
            stack.enter_context(made_folder(target.parent))
            temporary = stack.enter_context(temporary_file(target.parent, target.suffix))
        except OSError as error:
            raise OutputError(f"cannot write {destination}: {error.strerror or error}") from error
        try:
            yield temporary
            make_lasting(temporary)
            temporary.replace(target)
        except OutputError:
            raise
        except OSError as error:
            if error.filename is not None and Path(str(error.filename)) not in (temporary, target):
                raise
            raise OutputError(f"cannot write {destination}: {error.strerror or error}") from error


def make_lasting(temporary: Path) -> None:
    """Bring a finished temporary file to the disk, and let others read it as any new file."""
    # Without this, a power cut soon after the rename can leave an empty file behind it.
    with temporary.open("rb+") as stream:
        os.fsync(stream.fileno())
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)


def write_bytes(destination: Path, content: bytes) -> None:
    """Write ``content`` to ``destination`` atomically."""
    with atomic_path(destination) as temporary:
        temporary.write_bytes(content)


def write_text(destination: Path, content: str) -> None:
    """Write ``content`` to ``destination`` atomically, in UTF-8.

    What Unicode does not have, such as a byte of a file's name, is written as an escape.
    """
    write_bytes(destination, content.encode("utf-8", "backslashreplace"))


def write_json(destination: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically."""
    write_text(destination, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(source: Path, schema: str) -> dict[str, Any]:
    """Read a JSON object whose ``schema`` field must equal ``schema``.

    Raises:
        FormatError: missing file, not JSON, not an object, or another schema.
    """
    try:
        text = read_bytes(source)
    except OSError as error:
        raise FormatError(f"cannot read {source}: {error.strerror or error}") from error
    content = parse_json(text, str(source), finite=False)
    if not isinstance(content, dict) or content.get("schema") != schema:
        found = content.get("schema") if isinstance(content, dict) else None
        raise FormatError(f"{source} has schema {shown(found)}; this version reads {schema!r}")
    return content


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
