"""Tags around the samples of FLAC, MP3 and their kin: titles, covers, lyrics.

ID3v2 (https://id3.org/id3v2.4.0-structure) stands in front, ID3v1 in the last 128 bytes, and APEv2
(https://wiki.hydrogenaud.io/index.php?title=APEv2_specification) in front of that or at the end.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from quantkit.audio.containers.view import bytes_at

_ID3V1_BYTES = 128
_APE_BYTES = 32
_LYRICS_END = b"LYRICS200"
# A file has a few tags at most; one of nothing but tags ends here.
_MOST_TAGS = 16


def untagged(stream: BinaryIO, size: int) -> tuple[int, int]:
    """First byte, and last + 1, of what lies between the tags of a file of ``size`` bytes."""
    start = 0
    for _ in range(_MOST_TAGS):
        length = id3_bytes(bytes_at(stream, start, 10))
        if not length or start + length > size:
            break
        start += length
    end = size
    for _ in range(_MOST_TAGS):
        length = _trailing(stream, start, end)
        if not length or end - length < start:
            break
        end -= length
    return start, end


def id3_bytes(head: bytes) -> int:
    """Length of the ID3v2 tag that begins with ``head``; 0 where none does."""
    if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 0x7F or head[3] == 0xFF:
        return 0
    length = 0
    for byte in head[6:10]:
        length = length << 7 | byte
    # Version 4 may repeat its header at its end.
    footer = 10 if head[5] & 0x10 else 0
    return 10 + length + footer


def _trailing(stream: BinaryIO, start: int, end: int) -> int:
    """Length of the tag that ends at ``end``."""
    if bytes_at(stream, max(start, end - _ID3V1_BYTES), 3) == b"TAG":
        return _ID3V1_BYTES
    footer = bytes_at(stream, max(start, end - _APE_BYTES), _APE_BYTES)
    if footer[:8] == b"APETAGEX" and len(footer) == _APE_BYTES:
        _, length, _, flags = struct.unpack_from("<IIII", footer, 8)
        return int(length) + (_APE_BYTES if flags & 1 << 31 else 0)
    if footer.endswith(_LYRICS_END):
        digits = footer[-15:-9]
        return 15 + int(digits) if digits.isdigit() else 0
    # A footer of ID3v2, as the tags of streams have it.
    if footer[-10:-7] == b"3DI":
        return id3_bytes(b"ID3" + footer[-7:])
    return 0
