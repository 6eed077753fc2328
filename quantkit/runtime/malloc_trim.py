"""Give freed memory back to the system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any


def malloc_trim() -> None:
    """Return freed memory from the C library to the system, if it supports that.

    Large arrays of changing sizes leave glibc's heap in pieces, and each thread has a heap of its
    own: without this, a process keeps several times what it uses. It takes milliseconds.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> Any:
    """None on other systems."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
    except OSError:
        return None
    # musl, for one, has no such function.
    return library if hasattr(library, "malloc_trim") else None
