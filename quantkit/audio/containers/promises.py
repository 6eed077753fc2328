"""How much of the samples that a header promises is missing from a file that was cut off.

libsndfile reads what there is of these formats, and says nothing of the rest. Formats: AIFF and
AIFF-C, Sun's AU, Apple's CAF, Sony's Wave64, NIST SPHERE and Creative Voice; RIFF has a module of
its own, and the others have frames that do not end in silence.
"""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from quantkit.audio.containers.view import bytes_at

_MOST_CHUNKS = 10_000
# Lengths of programs that cannot come back to the header: all bits set, or (SoX) about 2 GiB.
_SMALLEST_UNKNOWN = 0x7F00_0000
_SMALLEST_UNKNOWN_LONG = 1 << 62
_NIST_HEADER_BYTES = 16
_LONGEST_NIST_HEADER = 65_536

#: First byte of the samples, and how many bytes of them are promised.
_Promise = tuple[int, int]


def missing_share(stream: BinaryIO, start: int, size: int) -> float:
    """The share of the samples, in bytes, that the header of a recording promises in vain.

    Args:
        start: where the recording begins.
        size: of the file.

    Returns:
        0 to 1; 0 where all is there, and where the header promises nothing.
    """
    head = bytes_at(stream, start, _NIST_HEADER_BYTES)
    promise: _Promise | None = None
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        promise = _aiff(stream, start, size)
    elif head[:4] == b".snd":
        promise = _sun(head, start)
    elif head[:4] == b"caff":
        promise = _caf(stream, start, size)
    elif head[:4] == b"riff":
        promise = _wave64(stream, start, size)
    elif head[:7] == b"NIST_1A":
        promise = _nist(stream, start)
    elif head == b"Creative Voice F":
        promise = _voice(stream, start)
    if promise is None:
        return 0.0
    begin, promised = promise
    there = max(0, size - begin)
    return (promised - there) / promised if promised > there else 0.0


def _aiff(stream: BinaryIO, start: int, size: int) -> _Promise | None:
    position = start + 12
    for _ in range(_MOST_CHUNKS):
        if position + 8 > size:
            break
        name, length = struct.unpack(">4sI", bytes_at(stream, position, 8))
        if name == b"SSND":
            # An offset and the size of blocks stand in front of the samples.
            unknown = length >= _SMALLEST_UNKNOWN or length <= 8
            return None if unknown else (position + 16, length - 8)
        position += 8 + length + length % 2
    return None


def _sun(head: bytes, start: int) -> _Promise | None:
    if len(head) < 12:
        return None
    offset, length = struct.unpack(">II", head[4:12])
    return None if length >= _SMALLEST_UNKNOWN or not length else (start + offset, length)


def _caf(stream: BinaryIO, start: int, size: int) -> _Promise | None:
    position = start + 8
    for _ in range(_MOST_CHUNKS):
        if position + 12 > size:
            break
        name, length = struct.unpack(">4sq", bytes_at(stream, position, 12))
        if name == b"data":
            # A count of edits stands in front of the samples.
            return (position + 16, length - 4) if length > 4 else None
        if length < 0:
            break
        position += 12 + length
    return None


def _wave64(stream: BinaryIO, start: int, size: int) -> _Promise | None:
    position = start + 40
    for _ in range(_MOST_CHUNKS):
        if position + 24 > size:
            break
        header = bytes_at(stream, position, 24)
        (length,) = struct.unpack("<Q", header[16:])
        if length < 24:
            break
        if header[:4] == b"data":
            unknown = length >= _SMALLEST_UNKNOWN_LONG or length <= 24
            return None if unknown else (position + 24, length - 24)
        position += length + -length % 8
    return None


def _nist(stream: BinaryIO, start: int) -> _Promise | None:
    digits = bytes_at(stream, start + 8, 8).strip()
    length = int(digits) if digits.isdigit() else 0
    if not 0 < length <= _LONGEST_NIST_HEADER:
        return None
    text = bytes_at(stream, start, length).decode("latin-1")
    if "shorten" in text:
        return None
    fields = dict(re.findall(r"^(\w+) -\w+ (\d{1,18})\s*$", text, re.MULTILINE))
    count = int(fields.get("sample_count", 0))
    bytes_each = int(fields.get("sample_n_bytes", 0)) * int(fields.get("channel_count", 1))
    return (start + length, count * bytes_each) if count * bytes_each else None


def _voice(stream: BinaryIO, start: int) -> _Promise | None:
    offset = bytes_at(stream, start + 20, 2)
    if len(offset) < 2:
        return None
    first = start + struct.unpack("<H", offset)[0]
    block = bytes_at(stream, first, 4)
    # Only the first block: SoX writes lengths that do not lead to the next.
    return (first, 4 + int.from_bytes(block[1:], "little")) if len(block) == 4 else None
