"""Standard output and error that take any text, whatever the terminal's encoding."""

from __future__ import annotations

import codecs
import json
import math
import os
import sys
from typing import Any

import click

_STANDARD_ERROR = 2
_ERRORS = "quantkit.plain"
# What is printed of our own besides letters, in characters that every encoding has.
_PLAIN = {
    "×": "x",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "→": "->",
    "±": "+/-",
    "≤": "<=",
    "≥": ">=",
    "µ": "u",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "·": "-",
    "█": "#",
    "\u00a0": " ",
}


def accept_any_text() -> None:
    """Let nothing that is printed fail for the encoding of its stream.

    A stream of ASCII becomes one of UTF-8, as click treats it too. In other encodings, characters
    that they lack are written as escapes, or by others that look like them.
    """
    _open_closed_streams()
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        # A stream may be closed, or be somebody's who calls us.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None or stream.closed:
            continue
        name = codecs.lookup(stream.encoding or "utf-8").name
        if name in ("ascii", "utf-8"):
            # Names of files may hold bytes that are no UTF-8.
            reconfigure(encoding="utf-8", errors="backslashreplace")
        else:
            reconfigure(errors=_ERRORS)


def _open_closed_streams() -> None:
    """Put the null device in place of standard streams that the caller closed.

    Otherwise the next file that is opened would have their number, and receive what is written
    there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(_STANDARD_ERROR, "w", encoding="utf-8", closefd=False)


def echo_json(content: Any, *, indent: int | None = 2) -> None:
    """Print JSON that is valid in every encoding: in UTF-8 as it is, elsewhere in ASCII.

    Numbers that are not finite, which JSON does not have, become null.
    """
    encoding = codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name
    is_plain = encoding not in ("ascii", "utf-8")
    click.echo(json.dumps(_finite(content), indent=indent, ensure_ascii=is_plain))


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Handler of :func:`codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    replaced = "".join(
        _PLAIN.get(c, c.encode("ascii", "backslashreplace").decode()) for c in lacking
    )
    return replaced, error.end
