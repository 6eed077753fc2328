"""Keeping the MP3 decoder from writing to the terminal.

libmpg123, which libsndfile uses, reports every oddity of a damaged stream on standard error and
libsndfile offers no switch for it. The one clear line that a broken clip deserves is ours.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STDERR = 2
# Standard error belongs to the whole process: two threads that save and restore it by turns
# would lose it for good.
_lock = threading.RLock()


@contextmanager
def quiet_decoder(path: Path) -> Iterator[None]:
    """Send file descriptor 2 nowhere inside the block if ``path`` looks like an MP3."""
    if not _looks_like_mp3(path):
        yield
        return
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


def _looks_like_mp3(path: Path) -> bool:
    if path.suffix.lower() == ".mp3":
        return True
    try:
        with path.open("rb") as stream:
            start = stream.read(3)
    except OSError:
        return False
    # An ID3 tag, or the eleven set bits that begin a frame.
    return start == b"ID3" or (len(start) == 3 and start[0] == 0xFF and start[1] >= 0xE0)
