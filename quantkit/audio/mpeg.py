"""Keeping the MP3 decoder from writing to the terminal.

libmpg123, which libsndfile uses, reports every fault of a damaged stream on standard error, and
libsndfile has no option to prevent it. A broken clip gets one clear line from us instead.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
# Standard error belongs to the whole process: two threads that save and restore it at the same time
# would lose it.
_lock = threading.RLock()


@contextmanager
def quiet_decoder() -> Iterator[None]:
    """Discard standard error (file descriptor 2) inside the block."""
    with _lock:
        try:
            saved = os.dup(_STDERR)
        except OSError:
            # The process runs without a standard error; there is nothing to keep clean.
            yield
            return
        try:
            if sys.stderr is not None:
                sys.stderr.flush()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, _STDERR)
            os.close(nowhere)
            yield
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
