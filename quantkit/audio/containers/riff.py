"""WAV: RIFF, RIFX, RF64 and BW64 (EBU Tech 3306; ITU-R BS.2088), as recorders really leave it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from quantkit.audio.containers.mpeg import mpeg_parts
from quantkit.audio.containers.part import MediaFormat, Part, WideSamples
from quantkit.audio.containers.view import Piece, View, bytes_at, find

_ORDER = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}
# Placeholder sizes of programs that write a WAV into a pipe: 0, all bits set, or (SoX, arecord)
# about 2 GiB.
_SMALLEST_UNKNOWN = 0x7FFF_F000
_IN_DS64 = 0xFFFF_FFFF
# Otherwise a file of zeros would be read as empty chunks of eight bytes.
_MOST_CHUNKS = 10_000
_LONGEST_FORMAT = 4_096

_PCM, _EXTENSIBLE = 0x0001, 0xFFFE
_MPEG = {0x0050, 0x0055}
# PCM, MS ADPCM, float, A-law, µ-law, IMA ADPCM, GSM 6.10, NMS ADPCM and G.721.
_SOUND_FILE = {_PCM, 0x0002, 0x0003, 0x0006, 0x0007, 0x0011, 0x0031, 0x0038, 0x0040}
#: Of the samples, that may be missing: a header may count itself, and a recorder may lose a buffer.
TOLERATED_SHARE, TOLERATED_SECONDS = 0.01, 0.1


@dataclass
class _Recording:
    """One WAV of a file.

    Args:
        order: of its bytes, as ``struct`` names it.
        form: its format chunk.
        samples: where they lie.
        exact: whether sizes and places are those of the headers.
        missing: share of its samples that is not there, where that is more than a few.
        end: where the next recording may begin.
    """

    order: str
    form: bytes = b""
    samples: list[tuple[int, int]] = field(default_factory=list)
    exact: bool = True
    notes: list[str] = field(default_factory=list)
    missing: float = 0.0
    end: int = 0


def is_wave(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a WAV."""
    return head[:4] in _ORDER and head[8:12] == b"WAVE"


def wave_parts(stream: BinaryIO, start: int, size: int) -> list[Part]:
    """The recordings of a file: usually one.

    Args:
        start: where the first begins; something may stand in front of it.
        size: of the file.
    """
    recordings = [*_recordings(stream, start, size)]
    if len(recordings) == 1 and recordings[0].exact and not start:
        (only,) = recordings
        whole = View(stream, [(0, size)])
        return _decodable(stream, only, whole)
    return [
        part
        for each in recordings
        for part in _decodable(stream, each, View(stream, [*_rebuilt(each)]))
    ]


def _recordings(stream: BinaryIO, start: int, size: int) -> Iterator[_Recording]:
    while start + 12 <= size and is_wave(bytes_at(stream, start, 12)):
        recording = _read(stream, start, size)
        yield recording
        start = recording.end


def _read(stream: BinaryIO, start: int, size: int) -> _Recording:
    magic = bytes_at(stream, start, 4)
    # libsndfile does not know BW64.
    recording = _Recording(_ORDER[magic], exact=magic != b"BW64")
    position, large = start + 12, 0
    for _ in range(_MOST_CHUNKS):
        header = bytes_at(stream, position, 8)
        if len(header) < 8:
            break
        name, length = struct.unpack(f"{recording.order}4sI", header)
        body = position + 8
        if recording.samples and not _is_chunk(header, body + length, size):
            recording.end = position
            if is_wave(bytes_at(stream, position, 12)):
                return recording
            # A writer that left out the byte behind an odd chunk.
            if position % 2 == 0 and is_wave(bytes_at(stream, position - 1, 12)):
                recording.end = position - 1
                return recording
            recording.notes.append(f"{size - position} bytes behind its samples are no sound")
            recording.end = size
            return recording
        if name == b"ds64" and length >= 16 and body + 16 <= size:
            (large,) = struct.unpack("<Q", bytes_at(stream, body + 8, 8))
        elif name == b"fmt ":
            recording.form = bytes_at(stream, body, min(length, _LONGEST_FORMAT))
            # libsndfile wants to know the format first.
            recording.exact &= not recording.samples
        elif name == b"data":
            promised = large if length == _IN_DS64 and large else length
            recording.exact &= magic != b"RF64" or promised != _IN_DS64
            length = _take(stream, recording, body, promised, size)
        # Chunks begin at even positions.
        position = body + length + length % 2
        if length % 2 and not recording.samples and not _begins(stream, position, size):
            # A writer that left out the byte behind an odd chunk.
            position -= _begins(stream, position - 1, size)
            recording.exact = False
    recording.end = size
    return recording


def _take(stream: BinaryIO, recording: _Recording, begin: int, promised: int, size: int) -> int:
    """Note the samples of a data chunk; returns how many bytes of the file they are."""
    there = size - begin
    if recording.samples:
        recording.exact = False
    unknown = promised >= _SMALLEST_UNKNOWN and promised > there
    if unknown or (not promised and not _chunks_only(stream, begin, size)):
        # Nobody came back to write the size.
        following = _next_wave(stream, begin, size)
        recording.exact &= unknown and following == size
        there = following - begin
        promised = there
    elif promised > there:
        missing = promised - there
        recording.exact = False
        if missing > _tolerated(recording, promised):
            recording.missing = missing / promised
        else:
            recording.notes.append(f"its header promises {missing} bytes more than there are")
        promised = there
    recording.samples.append((begin, begin + promised))
    return promised


def _next_wave(stream: BinaryIO, position: int, size: int) -> int:
    """Where the next recording begins behind samples of unknown length; the end where none does."""
    while (position := find(stream, b"RIFF", position, size)) >= 0:
        if is_wave(bytes_at(stream, position, 12)):
            return position
        position += 1
    return size


def _tolerated(recording: _Recording, promised: int) -> float:
    per_second = 0
    if len(recording.form) >= 12:
        (per_second,) = struct.unpack_from(f"{recording.order}I", recording.form, 8)
    return max(TOLERATED_SHARE * promised, min(TOLERATED_SECONDS * per_second, promised / 4))


def _begins(stream: BinaryIO, position: int, size: int) -> bool:
    """Whether a chunk begins at ``position``; that of the samples may promise anything."""
    header = bytes_at(stream, position, 8)
    if len(header) < 8:
        return False
    (length,) = struct.unpack_from("<I", header, 4)
    return header[:4] in (b"data", b"fmt ") or _is_chunk(header, position + 8 + length, size)


def _is_chunk(header: bytes, end: int, size: int) -> bool:
    """Whether eight bytes behind the samples are the head of a chunk that ends in the file."""
    name = header[:4]
    return all(0x20 <= byte < 0x7F for byte in name) and name not in _ORDER and end <= size + 1


def _chunks_only(stream: BinaryIO, position: int, size: int) -> bool:
    """Whether the rest of a file is chunks: then a data chunk of size 0 is really empty."""
    for _ in range(_MOST_CHUNKS):
        if position >= size:
            return True
        header = bytes_at(stream, position, 8)
        if len(header) < 8:
            return False
        end = position + 8 + struct.unpack_from("<I", header, 4)[0]
        if not _is_chunk(header, end, size):
            return False
        position = end + end % 2
    return False


def _rebuilt(recording: _Recording) -> Iterator[Piece]:
    """The same samples behind a header that is right."""
    order = recording.order
    count = sum(end - begin for begin, end in recording.samples)
    form = recording.form + b"\0" * (len(recording.form) % 2)
    total = min(4 + 8 + len(form) + 8 + count, 0xFFFF_FFFF)
    yield b"".join(
        (
            b"RIFF" if order == "<" else b"RIFX",
            struct.pack(f"{order}I", total),
            b"WAVE",
            b"fmt ",
            struct.pack(f"{order}I", len(recording.form)),
            form,
            b"data",
            struct.pack(f"{order}I", min(count, 0xFFFF_FFFF)),
        )
    )
    yield from recording.samples


def _decodable(stream: BinaryIO, recording: _Recording, content: View) -> list[Part]:
    """The recording for the decoder of its codec."""
    notes, missing = tuple(recording.notes), recording.missing
    if len(recording.form) < 16:
        return [Part(content, notes=notes, missing=missing)]
    order = recording.order
    tag, channels, rate, _, align, bits = struct.unpack_from(f"{order}HHIIHH", recording.form)
    if tag == _EXTENSIBLE and len(recording.form) >= 26:
        (tag,) = struct.unpack_from(f"{order}H", recording.form, 24)
    samples = View(stream, recording.samples)
    if tag in _MPEG and len(recording.samples) == 1:
        begin, end = recording.samples[0]
        return mpeg_parts(stream, begin, end)
    if tag == _PCM and channels and align == 8 * channels and bits > 32:
        form = WideSamples(rate, channels, f"{order}i8")
        return [Part(samples, notes=notes, missing=missing, wide=form)]
    if tag not in _SOUND_FILE:
        other = MediaFormat("wav", f"WAV with codec {tag:#06x}")
        return [Part(content, notes=notes, missing=missing, perhaps=other)]
    return [Part(content, notes=notes, missing=missing)]
