"""SentencePiece's ``.model``: its pieces, their scores, and how it cuts text into them.

The file is a protobuf, ``sentencepiece_model.proto`` of the library; only these fields are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

from quantkit.errors import InputError
from quantkit.text.label_files.table import LabelTable

# Fields of ModelProto, of its pieces, and of TrainerSpec.
_PIECES, _TRAINER = 1, 2
_PIECE, _SCORE, _TYPE = 1, 2, 3
_MODEL_TYPE = 3
_UNKNOWN, _CONTROL, _UNUSED = 2, 3, 5
_UNIGRAM, _BPE = 1, 2
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def table_of_model(content: bytes, origin: str) -> LabelTable:
    """The pieces of a model.

    Raises:
        InputError: the file is damaged, or is none.
    """
    names: list[str] = []
    scores: list[float] = []
    silent: set[str] = set()
    kind = _UNIGRAM
    try:
        for field, value in _fields(content):
            if field == _PIECES and isinstance(value, bytes):
                name, score, type_ = _piece(value)
                names.append(name)
                scores.append(score)
                if type_ in (_UNKNOWN, _CONTROL, _UNUSED):
                    silent.add(name)
            elif field == _TRAINER and isinstance(value, bytes):
                found = dict(_fields(value)).get(_MODEL_TYPE)
                kind = found if isinstance(found, int) else kind
    except (ValueError, struct.error) as error:
        raise InputError(f"{origin} is not a SentencePiece model, or is damaged") from error
    if not names:
        raise InputError(f"{origin} is not a SentencePiece model: it has no pieces")
    method: Literal["unigram", "bpe"] = "bpe" if kind == _BPE else "unigram"
    # Models of characters and of words have one way to cut a text, which the scores find too.
    return LabelTable(
        tuple(names),
        origin,
        silent=frozenset(silent),
        scores=tuple(scores),
        method=method,
    )


def _piece(content: bytes) -> tuple[str, float, int]:
    name, score, type_ = "", 0.0, 1
    for field, value in _fields(content):
        if field == _PIECE and isinstance(value, bytes):
            name = value.decode("utf-8")
        elif field == _SCORE and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif field == _TYPE and isinstance(value, int):
            type_ = value
    return name, score, type_


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field; varints as numbers, everything else as bytes.

    Raises:
        ValueError: the bytes are no protobuf.
    """
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(content, at)
        elif kind in (_FOUR_BYTES, _EIGHT_BYTES):
            size = 4 if kind == _FOUR_BYTES else 8
        else:
            raise ValueError(f"no wire type {kind}")
        if at + size > len(content):
            raise ValueError("cut off")
        yield key >> 3, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise ValueError("cut off")
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
