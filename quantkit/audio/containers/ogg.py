"""Ogg (RFC 3533): chained streams, and audio beside pictures."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from quantkit.audio.containers.part import MediaFormat, Part
from quantkit.audio.containers.view import View, bytes_at, find

_PAGE = b"OggS"
_HEADER_BYTES = 27
_BEGINS, _ENDS = 0x02, 0x04
_VORBIS, _OPUS, _SPEEX, _FLAC = b"\x01vorbis", b"OpusHead", b"Speex   ", b"\x7fFLAC"
# libsndfile fails on FLAC in Ogg that others write, and knows no Speex.
_MEDIA = {_SPEEX: "Speex in Ogg", _FLAC: "FLAC in Ogg"}
_AUDIO = (_VORBIS, _OPUS, *_MEDIA)


@dataclass
class _Link:
    """Streams that begin together; a chain has several such links.

    Args:
        codecs: first bytes of each stream, by its number.
        pages: where those of the stream that is heard lie, one behind the other where they touch.
        ended: streams whose last page says that it is the last.
        cut: streams whose last page is not all there.
    """

    codecs: dict[int, bytes] = field(default_factory=dict)
    pages: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    cut: set[int] = field(default_factory=set)

    @property
    def heard(self) -> int | None:
        """Number of the first stream of audio."""
        audio = (n for n, head in self.codecs.items() if head.startswith(_AUDIO))
        return next(audio, next(iter(self.codecs), None))


def ogg_parts(stream: BinaryIO, start: int, end: int) -> list[Part]:
    """The stream of audio of each link.

    Args:
        start, end: first byte and last + 1, without tags.
    """
    parts = []
    links = [*_links(stream, start, end)]
    for link in links:
        number = link.heard
        if number is None:
            continue
        head = link.codecs[number]
        name = next((name for magic, name in _MEDIA.items() if head.startswith(magic)), "")
        media = MediaFormat("ogg", name) if name else None
        is_cut = number in link.cut
        unsure = not is_cut and number not in link.ended
        notes = ("it has no mark of its end, and may be cut off",) if unsure else ()
        content = View(stream, link.pages[number])
        parts.append(Part(content, perhaps=media, notes=notes, ends=not is_cut))
    if not parts:
        return [Part(View(stream, [(start, end)]))]
    last = max(stop for link in links for pages in link.pages.values() for _, stop in pages)
    if last < end:
        note = f"{end - last} bytes behind its sound are none"
        parts[-1] = replace(parts[-1], notes=(*parts[-1].notes, note))
    return parts


def _links(stream: BinaryIO, start: int, end: int) -> Iterator[_Link]:
    link, beginning = _Link(), True
    for number, kind, begin, stop, is_whole in _pages(stream, start, end):
        if kind & _BEGINS:
            if not beginning:
                yield link
                link, beginning = _Link(), True
            body = begin + _HEADER_BYTES + bytes_at(stream, begin + 26, 1)[0]
            link.codecs[number] = bytes_at(stream, body, 8)
        else:
            beginning = False
        if kind & _ENDS:
            link.ended.add(number)
        if not is_whole:
            link.cut.add(number)
        extents = link.pages.setdefault(number, [])
        if extents and extents[-1][1] == begin:
            extents[-1] = (extents[-1][0], stop)
        else:
            extents.append((begin, stop))
    yield link


def _pages(stream: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int, int, bool]]:
    """Stream number, kind, first byte and last + 1 of each page, and whether all of it is there."""
    position = start
    while position < end:
        header = bytes_at(stream, position, _HEADER_BYTES + 255)
        if header[:4] != _PAGE or len(header) < _HEADER_BYTES:
            position = find(stream, _PAGE, position + 1, end)
            if position < 0:
                return
            continue
        segments = header[26]
        length = sum(header[_HEADER_BYTES : _HEADER_BYTES + segments])
        stop = position + _HEADER_BYTES + segments + length
        (number,) = struct.unpack_from("<I", header, 14)
        yield number, header[5], position, min(stop, end), stop <= end
        position = stop
