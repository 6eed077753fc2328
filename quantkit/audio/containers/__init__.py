"""What lies in a file of audio: its recordings, each as its decoder must see it.

libsndfile decodes well, but believes every header, and stops at the end of the first of several
files that were joined. So headers are read here first; a file that needs nothing is passed on as it
is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

from quantkit.audio.containers.flac import flac_parts
from quantkit.audio.containers.iff import caf_parts, is_caf, is_sun, sun_parts
from quantkit.audio.containers.mp4 import mp4_parts
from quantkit.audio.containers.mpeg import first_frame, is_mpeg, mpeg_parts
from quantkit.audio.containers.ogg import ogg_parts
from quantkit.audio.containers.part import MediaFormat, Part
from quantkit.audio.containers.promises import missing_share
from quantkit.audio.containers.riff import is_wave, wave_parts
from quantkit.audio.containers.signatures import MP4, media_format
from quantkit.audio.containers.tags import untagged
from quantkit.audio.containers.view import View, bytes_at, find

__all__ = ["Part", "parts_of"]

_HEAD_BYTES = 256
# GSM 06.10 full rate, as telephone systems store it: frames of 33 bytes, each marked by four bits.
_GSM = {"format": "RAW", "subtype": "GSM610", "samplerate": 8_000, "channels": 1}
_GSM_FRAME, _GSM_MARK = 33, 0xD

# Containers of which libsndfile knows some codecs, and FFmpeg's libraries others.
_PERHAPS = (
    (b"FORM", MediaFormat("aiff", "AIFF")),
    (b"Creative Voice File", MediaFormat("voc", "Creative Voice")),
    (b"riff\x2e\x91\xcf\x11", MediaFormat("w64", "Wave64")),
    (b"NIST_1A", MediaFormat("nistsphere", "NIST SPHERE")),
)
# Programs that record a stream, or cut one, leave some bytes in front of the first frame.
_MOST_IN_FRONT = 1 << 16
_BEGINNINGS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22", b"OggS\0\x02")


def parts_of(stream: BinaryIO, size: int) -> list[Part]:
    """The recordings in a file, in order.

    Args:
        stream: the file, opened; it must stay open while the parts are decoded.
        size: of the file, in bytes.

    Returns:
        at least one; a file of no known format is a part that its decoder will refuse.

    Raises:
        AudioError: a file that holds samples in a way that no decoder is known for.
        OSError: the file cannot be read.
    """
    start, end = untagged(stream, size)
    head = bytes_at(stream, start, _HEAD_BYTES)
    if (common := _common_parts(stream, start, end, size)) is not None:
        return common
    if is_caf(head):
        return caf_parts(stream, start, size)
    if is_sun(head):
        return sun_parts(stream, start, size)
    if (known := media_format(head)) == MP4:
        return mp4_parts(stream, start, end, MP4)
    if known:
        return [Part(View(stream, [(0, size)]), media=known)]
    if is_mpeg(stream, start, end):
        return mpeg_parts(stream, start, end, size)
    if _is_gsm(head):
        return [Part(View(stream, [(start, end)]), headerless=_GSM)]
    missing = missing_share(stream, start, size)
    perhaps = next((form for magic, form in _PERHAPS if head.startswith(magic)), None)
    if not perhaps and (first := _first_sound(stream, start, end)) > start:
        note = f"{first - start} bytes in front of its sound are none"
        parts = _common_parts(stream, first, end, end) or mpeg_parts(stream, first, end)
        return [replace(parts[0], notes=(note, *parts[0].notes)), *parts[1:]]
    # libsndfile may take it for an MP3, in whatever it finds.
    return [Part(View(stream, [(0, size)]), missing=missing, perhaps=perhaps, noisy=True)]


def _first_sound(stream: BinaryIO, start: int, end: int) -> int:
    """Where sound begins behind bytes that are none; ``start`` where none is found nearby."""
    most = min(end, start + _MOST_IN_FRONT)
    found = [find(stream, magic, start, most) for magic in _BEGINNINGS]
    waves = (find(stream, magic, start, most) for magic in (b"RIFF", b"RF64"))
    found += [at for at in waves if at >= 0 and is_wave(bytes_at(stream, at, 12))]
    at = first_frame(stream, start, most, end)
    return min((each for each in (*found, at) if each >= 0), default=start)


def _common_parts(stream: BinaryIO, start: int, end: int, size: int) -> list[Part] | None:
    """Of WAV, FLAC and Ogg; None of anything else.

    Args:
        start, end: first byte and last + 1, without tags.
        size: last byte + 1 with them, which WAV has in chunks of its own.
    """
    head = bytes_at(stream, start, _HEAD_BYTES)
    if is_wave(head):
        return wave_parts(stream, start, size)
    if head[:4] == b"fLaC":
        return flac_parts(stream, start, end)
    if head[:4] == b"OggS":
        return ogg_parts(stream, start, end)
    return None


def _is_gsm(head: bytes) -> bool:
    marks = head[::_GSM_FRAME]
    return len(marks) > 3 and all(mark >> 4 == _GSM_MARK for mark in marks)
