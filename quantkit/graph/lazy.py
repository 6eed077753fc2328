"""Read the graph of an ``.onnx`` without its weights.

A protobuf message is a sequence of fields, each a tag and a value, and those that nest say how long
they are first (https://protobuf.dev/programming-guides/encoding/). So the large ``raw_data`` of
initializers can be stepped over: what is read of a file of a gigabyte is a megabyte, and where each
weight lies is known.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from quantkit.disk.reading import open_regular

# Field numbers of onnx.proto3, and of a wire type for values that say their length.
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_VARINT, _EIGHT_BYTES, _WITH_LENGTH, _FOUR_BYTES = 0, 1, 2, 5
# Shape and scale constants stay in the graph, where shape inference can read them.
_SMALLEST_LEFT = 1024


class NotProtobuf(ValueError):
    """The bytes are no protobuf message, or end within one."""


@dataclass(frozen=True)
class LazyModel:
    """A graph without the large elements of its initializers.

    Args:
        model: those initializers have no elements at all.
        places: offset and length of them in the file, by position in ``graph.initializer``.
    """

    model: onnx.ModelProto
    places: dict[int, tuple[int, int]]


def read_lazily(path: Path) -> LazyModel:
    """The graph of the model at ``path``.

    Raises:
        OSError: it cannot be read.
        NotProtobuf, DecodeError: it is no ONNX model, or is cut off.
    """
    with open_regular(path) as stream:
        if not stream.seek(0, 2):
            raise NotProtobuf("the file is empty")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            places: dict[int, tuple[int, int]] = {}
            light, count = bytearray(), 0
            for field in _fields(content, 0, len(content)):
                if field.number == _GRAPH and field.wire == _WITH_LENGTH:
                    graph, count = _light_graph(content, field, places, count)
                    light += _framed(_GRAPH, graph)
                else:
                    light += content[field.start : field.stop]
    model = onnx.ModelProto()
    model.ParseFromString(bytes(light))
    return LazyModel(model, places)


@dataclass(frozen=True)
class _Field:
    """One field of a message: all of it from ``start``, its value from ``value`` to ``stop``."""

    number: int
    wire: int
    start: int
    value: int
    stop: int


def _light_graph(
    content: mmap.mmap, graph: _Field, places: dict[int, tuple[int, int]], count: int
) -> tuple[bytes, int]:
    """The graph, and how many initializers there are with those of ``count`` before it."""
    light = bytearray()
    for field in _fields(content, graph.value, graph.stop):
        if field.number != _INITIALIZER or field.wire != _WITH_LENGTH:
            light += content[field.start : field.stop]
            continue
        tensor = bytearray()
        for part in _fields(content, field.value, field.stop):
            length = part.stop - part.value
            if part.number == _RAW_DATA:
                # The last one counts.
                places.pop(count, None)
            if part.number == _RAW_DATA and length >= _SMALLEST_LEFT:
                places[count] = part.value, length
            else:
                tensor += content[part.start : part.stop]
        light += _framed(_INITIALIZER, bytes(tensor))
        count += 1
    return bytes(light), count


def _fields(content: mmap.mmap, start: int, stop: int) -> Iterator[_Field]:
    while start < stop:
        tag, position = _varint(content, start, stop)
        number, wire = tag >> 3, tag & 7
        value = position
        if wire == _VARINT:
            _, end = _varint(content, position, stop)
        elif wire == _WITH_LENGTH:
            length, value = _varint(content, position, stop)
            end = value + length
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            end = position + (8 if wire == _EIGHT_BYTES else 4)
        else:
            raise NotProtobuf(f"there is no wire type {wire}")
        if end > stop:
            raise NotProtobuf("a field ends behind its message")
        yield _Field(number, wire, start, value, end)
        start = end


def _varint(content: mmap.mmap, position: int, stop: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while position < stop and shift < 70:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise NotProtobuf("a number does not end")


def _framed(number: int, value: bytes) -> bytes:
    framed = bytearray([number << 3 | _WITH_LENGTH])
    length = len(value)
    while length > 0x7F:
        framed.append(length & 0x7F | 0x80)
        length >>= 7
    framed.append(length)
    return bytes(framed + value)
