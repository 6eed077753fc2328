"""MPEG audio (MP3, MP2; ISO/IEC 11172-3 and 13818-3): how many frames there are, and of how many
files.

libmpg123 believes the count in a Xing header (http://gabriel.mp3-tech.org/mp3infotag.html), and
without one guesses it from the first frame's bit rate: of a file of variable rate a part is missing
then, without a word. So frames are counted here where no header does, and a Xing header that says
how many there are is put in front.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import BinaryIO

from quantkit.audio.containers.part import Part
from quantkit.audio.containers.tags import id3_bytes
from quantkit.audio.containers.view import View, bytes_at

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_VERSION_1 = 3
_LAYER_3, _LAYER_2, _LAYER_1 = 1, 2, 3
# In kbit/s, from index 1 on.
_BITRATES_1 = {
    _LAYER_1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    _LAYER_2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    _LAYER_3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_LOW_BITRATES = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BITRATES_2 = {
    _LAYER_1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    _LAYER_2: _LOW_BITRATES,
    _LAYER_3: _LOW_BITRATES,
}
_MONO = 3
# Frames in a row that make a stream: one alone occurs by chance.
_SURE = 3
_SURE_AMONG_OTHERS = 5
_HEADER_BYTES = 4
_BLOCK = 1 << 20
_LONGEST_FRAME = 2_881
_XING = (b"Xing", b"Info")
_HAS_FRAMES, _HAS_BYTES = 1, 2


@dataclass(frozen=True)
class _Frame:
    """What the header of a frame says.

    Args:
        size: in bytes, with the header.
        side: bytes of side information behind the header.
        kind: what is the same in all frames of a stream: version, layer, sample rate.
    """

    size: int
    side: int
    kind: tuple[int, int, int]


@dataclass(frozen=True)
class _Count:
    """What a Xing header says; 0 where it does not.

    Args:
        frames: without the one that holds it.
        size: in bytes, with that one.
    """

    frames: int
    size: int


def is_mpeg(stream: BinaryIO, start: int, end: int, count: int = _SURE) -> bool:
    """Whether ``count`` frames stand in a row at ``start``."""
    position = start
    for number in range(count):
        frame = _frame(bytes_at(stream, position, _HEADER_BYTES))
        if frame is None:
            return number > 0 and position == end
        position += frame.size
    return True


def first_frame(stream: BinaryIO, start: int, most: int, end: int) -> int:
    """Where the first frames in a row begin; -1 if none do before ``most``.

    More of them than elsewhere: among bytes that are anything, a few occur by chance.
    """
    reader = _Reader(stream, end)
    position = start
    while (position := reader.next_frame(position)) < most:
        if is_mpeg(stream, position, end, _SURE_AMONG_OTHERS):
            return position
        position += 1
    return -1


def mpeg_parts(stream: BinaryIO, start: int, end: int, size: int = 0) -> list[Part]:
    """Each stream of frames.

    Args:
        start, end: first byte and last + 1, without tags.
        size: of the file, where the samples are all that it is for.
    """
    # libsndfile takes an empty tag for no MP3.
    whole = View(stream, [(start, size or end)])
    parts: list[Part] = []
    last = end
    for pieces, frames in _streams(stream, start, end):
        begin, stop = pieces[0]
        last = max(stop for begin, stop in pieces if stop > begin)
        count = _xing(stream, begin)
        content = View(stream, pieces)
        # Of a file that is cut off, bytes are missing as well as frames.
        is_right = count is not None and (
            count.frames == frames - 1 or (count.frames >= frames and count.size > content.size)
        )
        if is_right:
            parts.append(Part(content, noisy=True))
            continue
        if _layer(stream, begin) != _LAYER_3:
            parts.append(Part(content, counted=False, noisy=True))
            continue
        if count is not None:
            begin += _sized(stream, begin)
            frames -= 1
        if frames:
            content = View(stream, [(begin, stop), *pieces[1:]])
            header = _counting_header(stream, begin, frames, content.size)
            parts.append(Part(View(stream, [header, (begin, stop), *pieces[1:]]), noisy=True))
    if not parts:
        return [Part(whole, noisy=True)]
    if end - last > _LONGEST_FRAME:
        parts[-1] = replace(parts[-1], notes=(f"{end - last} bytes behind its sound are none",))
    return parts


def _streams(stream: BinaryIO, start: int, end: int) -> Iterator[tuple[list[tuple[int, int]], int]]:
    """Pieces (first byte, last + 1) and number of frames of each stream.

    Between two pieces lie bytes that are no frames. A stream ends where the next file begins: at a
    tag, at a Xing header, at another sample rate, or behind as many frames as its own Xing header
    says.
    """
    reader = _Reader(stream, end)
    position, frames = start, 0
    pieces = [(start, start)]
    kind: tuple[int, int, int] | None = None
    limit = least = 0
    while position < end:
        head = reader.at(position, 10)
        frame = _frame(head)
        if frame is None or position + frame.size > end:
            tag = id3_bytes(head)
            position = position + tag if tag else reader.next_frame(position + 1)
            if frames and tag:
                yield pieces, frames
                frames = 0
            pieces = [*pieces, (position, position)] if frames else [(position, position)]
            continue
        marked = reader.at(position + _HEADER_BYTES + frame.side, 4) in _XING
        is_full = frames == limit and position - pieces[0][0] >= least
        if frames and (marked or frame.kind != kind or is_full):
            yield pieces, frames
            pieces, frames = [(position, position)], 0
        if not frames:
            kind, limit = frame.kind, 0
            count = _xing(stream, position) if marked else None
            if count is not None and count.frames:
                # One that counts too few of them has more bytes than they have.
                limit, least = count.frames + 1, count.size - 2 * frame.size
        frames += 1
        position += frame.size
        pieces[-1] = (pieces[-1][0], position)
    if frames:
        yield pieces, frames


class _Reader:
    """Bytes of a file, a block at a time: frames are many and small."""

    def __init__(self, stream: BinaryIO, end: int) -> None:
        self._stream = stream
        self._end = end
        self._from = 0
        self._block = b""

    def at(self, position: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``position`` on."""
        inside = position - self._from
        if inside < 0 or inside + count > len(self._block):
            self._from, inside = position, 0
            self._block = bytes_at(self._stream, position, min(_BLOCK, self._end - position))
        return self._block[inside : inside + count]

    def next_frame(self, position: int) -> int:
        """Where frames go on from ``position``; the end where they do not."""
        while position < self._end:
            block = self.at(position, min(_BLOCK // 2, self._end - position))
            found = block.find(b"\xff")
            if found < 0:
                position += max(1, len(block))
                continue
            position += found
            if _frame(self.at(position, _HEADER_BYTES)) and is_mpeg(
                self._stream, position, self._end
            ):
                return position
            position += 1
        return self._end


def _frame(head: bytes) -> _Frame | None:
    """The frame that begins with ``head``; None where none does, or its length is unknown."""
    return _parsed(bytes(head[:_HEADER_BYTES]))


# Of a file there are few different headers, and hundreds of thousands of frames in an hour.
@lru_cache(1024)
def _parsed(head: bytes) -> _Frame | None:
    if len(head) < _HEADER_BYTES or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    if version not in _RATES or layer == 0 or bitrate in (0, 15) or rate == 3:
        return None
    hertz = _RATES[version][rate]
    table = _BITRATES_1 if version == _VERSION_1 else _BITRATES_2
    bits = 1000 * table[layer][bitrate - 1]
    padding = head[2] >> 1 & 1
    if layer == _LAYER_1:
        size = (12 * bits // hertz + padding) * 4
    else:
        short = layer == _LAYER_3 and version != _VERSION_1
        size = (72 if short else 144) * bits // hertz + padding
    mono = head[3] >> 6 == _MONO
    side = (17 if mono else 32) if version == _VERSION_1 else (9 if mono else 17)
    return _Frame(size, side, (version, layer, hertz))


def _xing(stream: BinaryIO, position: int) -> _Count | None:
    """What the Xing header in the frame at ``position`` says; None where there is none."""
    head = bytes_at(stream, position, _LONGEST_FRAME)
    frame = _frame(head)
    if frame is None:
        return None
    at = _HEADER_BYTES + frame.side
    if head[at : at + 4] not in _XING or len(head) < at + 16:
        return None
    (flags,) = struct.unpack_from(">I", head, at + 4)
    at += 8
    frames = size = 0
    if flags & _HAS_FRAMES:
        (frames,) = struct.unpack_from(">I", head, at)
        at += 4
    if flags & _HAS_BYTES:
        (size,) = struct.unpack_from(">I", head, at)
    return _Count(frames, size)


def _layer(stream: BinaryIO, position: int) -> int:
    frame = _frame(bytes_at(stream, position, _HEADER_BYTES))
    return frame.kind[1] if frame else 0


def _sized(stream: BinaryIO, position: int) -> int:
    frame = _frame(bytes_at(stream, position, _HEADER_BYTES))
    return frame.size if frame else 0


def _counting_header(stream: BinaryIO, position: int, frames: int, size: int) -> bytes:
    """A frame without sound like the one at ``position``, whose Xing header counts the others."""
    head = bytearray(bytes_at(stream, position, _HEADER_BYTES))
    # Without a checksum, and of a bit rate that leaves room for the header.
    head[1] |= 1
    head[2] = head[2] & 0x0F | 9 << 4
    frame = _frame(bytes(head))
    if frame is None:
        return b""
    content = head + bytes(frame.side) + b"Xing"
    content += struct.pack(">III", _HAS_FRAMES | _HAS_BYTES, frames, frame.size + size)
    return bytes(content.ljust(frame.size, b"\0"))
