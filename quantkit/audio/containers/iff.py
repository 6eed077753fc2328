"""CAF and AU of which nobody wrote the length."""

from __future__ import annotations

import struct
from typing import BinaryIO

from quantkit.audio.containers.part import MediaFormat, Part
from quantkit.audio.containers.promises import missing_share
from quantkit.audio.containers.view import View, bytes_at

_CAF, _SUN = b"caff", b".snd"
_MOST_CHUNKS = 10_000
_UNKNOWN_SUN = struct.pack(">I", 0xFFFF_FFFF)


def is_caf(head: bytes) -> bool:
    """Whether a file begins as Apple's Core Audio Format."""
    return head[:4] == _CAF


def is_sun(head: bytes) -> bool:
    """Whether a file begins as Sun's AU."""
    return head[:4] == _SUN


def caf_parts(stream: BinaryIO, start: int, size: int) -> list[Part]:
    """The one recording; its length is -1 where a recorder was stopped."""
    whole = View(stream, [(0, size)])
    position, codec = start + 8, b""
    for _ in range(_MOST_CHUNKS):
        header = bytes_at(stream, position, 12)
        if len(header) < 12:
            break
        name, length = struct.unpack(">4sq", header)
        if name == b"desc":
            codec = bytes_at(stream, position + 20, 4)
        if name == b"data":
            if length < 0 or (not length and size > position + 16):
                counted = struct.pack(">4sq", name, size - position - 12)
                whole = View(stream, [(start, position), counted, (position + 12, size)])
            break
        if length < 0:
            break
        position += 12 + length
    shown = codec.decode("latin-1").strip()
    form = MediaFormat("caf", f"CAF with codec {shown!r}")
    return [Part(whole, missing=missing_share(stream, start, size), perhaps=form)]


def sun_parts(stream: BinaryIO, start: int, size: int) -> list[Part]:
    """The one recording; a length of 0 is that of a recorder that was stopped."""
    head = bytes_at(stream, start, 12)
    if head[8:12] == b"\0\0\0\0":
        return [Part(View(stream, [head[:8] + _UNKNOWN_SUN, (start + 12, size)]))]
    return [Part(View(stream, [(0, size)]), missing=missing_share(stream, start, size))]
