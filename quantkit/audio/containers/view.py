"""Parts of a file as a stream of their own."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes to be read instead of the file's, or the first and the last + 1 of the file's own.
Piece: TypeAlias = bytes | tuple[int, int]


class View(io.RawIOBase):
    """Pieces of a file, one after the other, read-only.

    Decoders see a file through it as it should have been: with a header that is right, and without
    what is no sound. Nothing is copied.

    Args:
        stream: the file; it stays the caller's to close.
        pieces: what to show of it.
    """

    def __init__(self, stream: BinaryIO, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self._stream = stream
        self._pieces = [piece for piece in pieces if _size(piece)]
        self._ends = list(accumulate(_size(piece) for piece in self._pieces))
        self._position = 0
        #: What went wrong while reading: libsndfile cannot pass an error on.
        self.error: OSError | None = None

    @property
    def size(self) -> int:
        """Bytes in all pieces."""
        return self._ends[-1] if self._ends else 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        # libsndfile may ask for less than nothing of a file with a wrong header; an exception would
        # be printed instead of raised.
        if begin + offset >= 0:
            self._position = begin + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill ``buffer`` as far as there are bytes."""
        target = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(target) and self._position < self.size:
            content = self._next(len(target) - filled)
            if not content:
                break
            target[filled : filled + len(content)] = content
            filled += len(content)
            self._position += len(content)
        return filled

    def _next(self, most: int) -> bytes:
        """At most ``most`` bytes of the piece that holds the position."""
        index = bisect_right(self._ends, self._position)
        piece = self._pieces[index]
        inside = self._position - (self._ends[index] - _size(piece))
        if isinstance(piece, bytes):
            return piece[inside : inside + most]
        try:
            self._stream.seek(piece[0] + inside)
            return self._stream.read(min(most, piece[1] - piece[0] - inside))
        except OSError as error:
            self.error = error
            return b""


def bytes_at(stream: BinaryIO, position: int, count: int) -> bytes:
    """At most ``count`` bytes of a file from ``position`` on."""
    stream.seek(position)
    return stream.read(count)


def find(stream: BinaryIO, wanted: bytes, start: int, end: int) -> int:
    """Where ``wanted`` begins first in a part of a file; -1 where it does not occur."""
    overlap = len(wanted) - 1
    position = start
    while position < end:
        block = bytes_at(stream, position, min(_SEARCHED, end - position))
        if not block:
            return -1
        found = block.find(wanted)
        if found >= 0:
            return position + found
        if len(block) <= overlap:
            return -1
        position += len(block) - overlap
    return -1


_SEARCHED = 1 << 20


def _size(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else max(0, piece[1] - piece[0])
