"""Holding back what a C++ library prints on its own."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def suppress_stdout() -> Iterator[None]:
    """Drop what is written to the process's standard output inside the block.

    HiGHS prints a line whenever it repairs a solution, whatever its options say. Without this, the
    line would stand in the middle of the JSON that a command prints.
    """
    if os.name != "posix":
        yield
        return
    library = ctypes.CDLL(None)
    sys.stdout.flush()
    library.fflush(None)
    original = os.dup(1)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        # What still lies in C's buffer would be written to whatever descriptor 1 is by then.
        library.fflush(None)
        os.dup2(original, 1)
        os.close(original)
