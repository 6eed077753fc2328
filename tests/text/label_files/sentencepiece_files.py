"""Small files of SentencePiece, written field by field."""

from __future__ import annotations

import struct

UNIGRAM, BPE, CHARACTERS = 1, 2, 4
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def model_of(pieces: list[tuple[str, float]], kind: int = UNIGRAM) -> bytes:
    """A model with these pieces and scores; names in angle brackets are control pieces."""
    written = b"".join(_bytes(1, _piece(name, score)) for name, score in pieces)
    return written + _bytes(2, _varint(3 << 3) + _varint(kind))


def _piece(name: str, score: float) -> bytes:
    type_ = {"<unk>": UNKNOWN}.get(name, CONTROL if name.startswith("<") else NORMAL)
    if name.startswith("<0x"):
        type_ = BYTE
    fields = _bytes(1, name.encode()) + _varint(2 << 3 | 5) + struct.pack("<f", score)
    return fields + _varint(3 << 3) + _varint(type_)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
