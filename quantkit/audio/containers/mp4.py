"""MP4 and its kin (ISO/IEC 14496-12), of which several may be joined end to end."""

from __future__ import annotations

import struct
from typing import BinaryIO

from quantkit.audio.containers.part import MediaFormat, Part
from quantkit.audio.containers.view import View, bytes_at

_MOST_BOXES = 100_000
_LONG, _TO_THE_END = 1, 0


def mp4_parts(stream: BinaryIO, start: int, end: int, form: MediaFormat) -> list[Part]:
    """Each file of a file: players hear the first alone, whose index knows of no other.

    Args:
        start, end: first byte and last + 1, without tags.
    """
    starts, position = [start], start
    has_index = False
    for _ in range(_MOST_BOXES):
        header = bytes_at(stream, position, 16)
        if len(header) < 8:
            break
        length, name = struct.unpack_from(">I4s", header)
        # A fragmented file may repeat its first box, with its index behind it or not.
        if name == b"ftyp" and has_index:
            starts.append(position)
            has_index = False
        has_index |= name == b"moov"
        if length == _LONG and len(header) == 16:
            (length,) = struct.unpack_from(">Q", header, 8)
        if length < 8 or length == _TO_THE_END:
            break
        position += length
    ends = [*starts[1:], end]
    pieces = zip(starts, ends, strict=True)
    return [Part(View(stream, [piece]), media=form) for piece in pieces]
