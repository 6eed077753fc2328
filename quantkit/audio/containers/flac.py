"""FLAC (RFC 9639) of unknown length, and several in one file."""

from __future__ import annotations

import struct
from typing import BinaryIO

from quantkit.audio.containers.part import Part
from quantkit.audio.containers.view import View, bytes_at, find

_MAGIC = b"fLaC"
# The stream information comes first and has a fixed length; its first bit says whether it is the
# last block in front of the samples.
_STARTS = (_MAGIC + b"\0\0\0\x22", _MAGIC + b"\x80\0\0\x22")
_TOTAL_AT = 18
_TOTAL_BITS = (1 << 36) - 1


def flac_parts(stream: BinaryIO, start: int, end: int) -> list[Part]:
    """Each FLAC of a file.

    Args:
        start, end: first byte and last + 1, without tags.
    """
    starts = [start, *_further(stream, start + len(_MAGIC), end)]
    ends = [*starts[1:], end]
    return [_part(stream, *each) for each in zip(starts, ends, strict=True)]


def _part(stream: BinaryIO, start: int, end: int) -> Part:
    head = bytes_at(stream, start, _TOTAL_AT + 8)
    if len(head) < _TOTAL_AT + 8:
        return Part(View(stream, [(start, end)]), counted=False)
    (packed,) = struct.unpack_from(">Q", head, _TOTAL_AT)
    # Its decoder stops where the header has it, although there may be more.
    uncounted = head[:_TOTAL_AT] + struct.pack(">Q", packed & ~_TOTAL_BITS)
    content = View(stream, [uncounted, (start + len(head), end)])
    return Part(content, counted=False, frames=packed & _TOTAL_BITS or None)


def _further(stream: BinaryIO, start: int, end: int) -> list[int]:
    """Where further files begin. Eight given bytes do not occur by chance."""
    found: list[int] = []
    for wanted in _STARTS:
        position = start
        while (position := find(stream, wanted, position, end)) >= 0:
            found.append(position)
            position += len(wanted)
    return sorted(found)
