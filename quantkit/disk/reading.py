"""Reading small files that others wrote: regular ones, of a size that can be meant.

Whatever is wrong is an ``OSError`` with a reason in words, so that callers treat it as any file
that cannot be read.
"""

from __future__ import annotations

import errno
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO

from quantkit.errors import InputError

#: Bytes that a JSON document or a list may have: the largest tokenizers take a third of it.
TEXT_LIMIT = 64_000_000
#: Bytes that settings written by hand may have.
SETTINGS_LIMIT = 100_000

_KEY_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_KEY_PART}(?:[ \t]*+\.[ \t]*+{_KEY_PART}){{32}}")

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def require_regular(path: Path, *, folder: bool = False) -> None:
    """Refuse what would block or never end when it is read; it is not opened.

    Args:
        folder: whether a folder will do, too.

    Raises:
        OSError: nothing is there, or something other than a file.
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind == stat.S_IFDIR and not folder:
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if kind in _KINDS:
        reason = f"it is {_KINDS[kind]}; give a file"
        raise OSError(errno.EINVAL, reason, str(path))


def is_there(path: Path) -> bool:
    """Whether there is anything at a path that a list names; names that no system can have are
    those of nothing, where :meth:`pathlib.Path.exists` raises."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def require_utf8(path: Path) -> None:
    """Refuse a name that ONNX and ONNX Runtime cannot hold; files of other kinds may have it.

    Raises:
        InputError: ``path`` holds bytes that are not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{path}: a model must have a path in UTF-8, and this one holds other bytes; rename it"
        ) from None


def open_regular(path: Path) -> BinaryIO:
    """``path``, open for reading.

    Raises:
        OSError: see :func:`require_regular`, or it cannot be opened.
    """
    require_regular(path)
    return path.open("rb")


def read_bytes(path: Path, limit: int = TEXT_LIMIT) -> bytes:
    """All of a file that is held in memory.

    Args:
        limit: bytes that it may have at most.

    Raises:
        OSError: see :func:`open_regular`, or it has more.
    """
    with open_regular(path) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        reason = f"it has more than the {limit / 1e6:g} MB that such a file may have"
        raise OSError(errno.EFBIG, reason, str(path))
    return content


def read_text(path: Path, limit: int = TEXT_LIMIT) -> str:
    """As :func:`read_bytes`, in UTF-8 and with line ends of any kind.

    Raises:
        OSError: see :func:`read_bytes`.
        UnicodeDecodeError: it is not UTF-8.
    """
    text = read_bytes(path, limit).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_toml(path: Path) -> dict[str, Any]:
    """What a file of settings says.

    Raises:
        OSError: see :func:`read_bytes`.
        ValueError: it is not UTF-8, not TOML, or nested too deeply.
    """
    text = read_text(path, SETTINGS_LIMIT)
    # tomllib keeps every beginning of a key: 25,000 parts take gigabytes.
    if _LONG_KEY.search(text):
        raise ValueError("a key has more than 32 parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
