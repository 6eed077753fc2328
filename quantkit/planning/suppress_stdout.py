"""Suppress what a C++ library prints to standard output."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def suppress_stdout() -> Iterator[None]:
    """Discard what is written to the process's standard output inside the block.

    HiGHS prints a line whenever it repairs a solution, whatever its options. That line would
    corrupt the JSON that a command prints.
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
        # C's buffer must be flushed before descriptor 1 is restored.
        library.fflush(None)
        os.dup2(original, 1)
        os.close(original)
