"""Audio files: the same samples from every lossless form, and a clip or a reason from any bytes."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import soundfile

from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, attempt
from benchmarks.fuzz.damage import damaged
from benchmarks.fuzz.models import RATE, speech
from quantkit.arrays import FloatArray
from quantkit.audio.decode import MAX_SECONDS, audio_seconds, read_audio

_SECONDS = 0.4
#: Format, subtype, and whether it keeps 16 bits exactly.
_FORMS = (
    *(("WAV", "PCM_16", True), ("WAV", "PCM_24", True), ("WAV", "PCM_32", True)),
    *(("WAV", "FLOAT", True), ("WAV", "DOUBLE", True), ("WAVEX", "PCM_16", True)),
    *(("RF64", "PCM_16", True), ("W64", "PCM_16", True), ("AIFF", "PCM_16", True)),
    *(("AU", "PCM_16", True), ("AU", "FLOAT", True), ("CAF", "PCM_16", True)),
    *(("FLAC", "PCM_16", True), ("FLAC", "PCM_24", True), ("NIST", "PCM_16", True)),
    *(("WAV", "PCM_U8", False), ("WAV", "ULAW", False), ("WAV", "ALAW", False)),
    *(("WAV", "IMA_ADPCM", False), ("WAV", "MS_ADPCM", False), ("WAV", "GSM610", False)),
    *(("AIFF", "PCM_S8", False), ("VOC", "PCM_16", False), ("OGG", "VORBIS", False)),
    *(("OGG", "OPUS", False), ("MP3", "MPEG_LAYER_III", False), ("AU", "G721_32", False)),
)
_MAGICS = (
    *(b"RIFF\x24\x08\0\0WAVEfmt ", b"RIFX\0\0\0\x24WAVE", b"RF64\xff\xff\xff\xffWAVEds64", b"fLaC"),
    *(
        b"fLaC\0\0\0\x22",
        b"OggS\0\x02",
        b"ID3\x04\0\0\0\0\x0f\x7f",
        b"\xff\xfb\x90\0",
        b"caff\0\x01",
    ),
    *(b"FORM\0\0\x10\0AIFFCOMM", b".snd\0\0\0\x18", b"NIST_1A\n   1024\n", b"riff\x2e\x91\xcf\x11"),
    *(
        b"\0\0\0\x18ftypM4A ",
        b"\x1aE\xdf\xa3",
        b"#!AMR\n",
        b"0&\xb2u\x8ef\xcf\x11",
        b"Creative Voice",
    ),
    *(b"", b"\0" * 64, b"MThd", b"\x89PNG\r\n\x1a\n", b"#EXTM3U\nhttp://127.0.0.1:9/x.mp3\n"),
    b"ffconcat version 1.0\nfile ../secret/secret.txt\n",
)
_ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".gsm", ".raw", ".txt", "")


class AudioFiles:
    """Every container that is read without further libraries, and what is none."""

    name, share = "audio", 120

    def prepare(self, seeds: Path) -> None:
        folder = seeds / "audio"
        folder.mkdir(parents=True)
        samples = np.round(speech(_SECONDS, 0) * 32_767) / 32_768
        for form, subtype, _ in _FORMS:
            rate = 8_000 if subtype == "GSM610" else 16_000
            soundfile.write(folder / f"{form}-{subtype}", samples, rate, subtype, format=form)

    def run(self, case: Case) -> Answer:
        random = case.random
        form, subtype, is_exact = random.choice(_FORMS)
        content = (case.seeds / "audio" / f"{form}-{subtype}").read_bytes()
        expected = _decoded(content)
        path = case.folder / f"clip{random.choice(_ENDINGS)}"
        way = random.random()
        if way < 0.3:
            change, factor = random.choice(_harmless(form, is_exact))
            path.write_bytes(change(content, random))
            return _require_samples(path, np.tile(expected, factor), change.__name__)
        if way < 0.4 and is_exact and form in ("WAV", "AU", "AIFF", "CAF"):
            path.write_bytes(content[: random.randint(0, len(content) - 1)])
            return _require_beginning(path, expected)
        if way < 0.5 and form == "WAV":
            path.write_bytes(_odd_header(content, random))
        elif way < 0.65:
            path.write_bytes(
                random.choice(_MAGICS) + random.randbytes(random.choice((0, 8, 500, 5_000)))
            )
        else:
            path.write_bytes(damaged(content, random))
        with contextlib.suppress(Refused):
            seconds = attempt(lambda: audio_seconds(path))
            if not 0 < seconds <= MAX_SECONDS:
                raise WrongResult(f"a clip of {seconds} s")
        _require_sound(attempt(lambda: read_audio(path)))
        return "right"


def _decoded(content: bytes) -> FloatArray:
    """What libsndfile makes of an unharmed file, at the rate of the models."""
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    if rate != RATE:
        import soxr

        stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
        samples = stream.resample_chunk(samples, last=True)
    found: FloatArray = samples
    return found


def _require_samples(path: Path, expected: FloatArray, change: str) -> Answer:
    try:
        found = attempt(lambda: read_audio(path))
        seconds = attempt(lambda: audio_seconds(path))
    except Refused as refusal:
        raise WrongResult(f"{change} changes nothing, and it is refused: {refusal}") from None
    if found.shape != expected.shape or not np.allclose(found, expected, atol=1e-6):
        raise WrongResult(
            f"{change} changes nothing, and gives {found.size} samples instead of {expected.size}"
        )
    if abs(seconds * RATE - expected.size) > 0.1 * RATE:
        raise WrongResult(f"{change}: {expected.size / RATE} s are said to be {seconds}")
    return "right"


def _require_beginning(path: Path, expected: FloatArray) -> Answer:
    """What is left of a file of plain samples is its beginning."""
    found = attempt(lambda: read_audio(path))
    _require_sound(found)
    if found.size > expected.size or not np.array_equal(found, expected[: found.size]):
        raise WrongResult("what is left of it is not its beginning")
    if found.size < 0.7 * expected.size:
        raise WrongResult(f"{found.size} of {expected.size} samples are left, and nothing is said")
    return "right"


def _require_sound(samples: FloatArray) -> None:
    if samples.dtype != np.float32 or samples.ndim != 1 or not samples.size:
        raise WrongResult(f"samples of type {samples.dtype} and shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise WrongResult("samples that are not finite")
    if samples.size > MAX_SECONDS * RATE * 1.01:
        raise WrongResult(f"{samples.size} samples are more than the limit")


_Change = Callable[[bytes, Random], bytes]


def _harmless(form: str, is_exact: bool) -> list[tuple[_Change, int]]:
    """Changes that leave the sound as it is, and how often it is heard then."""
    found: list[tuple[_Change, int]] = [(_nothing, 1)]
    if form in ("FLAC", "MP3"):
        found += [(_id3_in_front, 1), (_id3_behind, 1)]
    if form == "MP3":
        found += [(_ape_behind, 1)]
    if form == "WAV":
        found += [(_chunk_in_front, 1), (_chunk_behind, 1), (_id3_in_front, 1)]
        found += [(_joined, 2), (_three_joined, 3)] if is_exact else []
        found += [(_size_unknown, 1)] if is_exact else []
    if form in ("FLAC", "OGG"):
        found += [(_joined, 2)] if is_exact else []
    if form == "AU":
        found += [(_size_unknown_au, 1)] if is_exact else []
    return found


def _nothing(content: bytes, random: Random) -> bytes:
    return content


def _id3_in_front(content: bytes, random: Random) -> bytes:
    length = random.choice((0, 100, 3_000))
    size = bytes((0, 0, length >> 7 & 0x7F, length & 0x7F))
    return b"ID3" + bytes((random.choice((2, 3, 4)), 0, 0)) + size + bytes(length) + content


def _id3_behind(content: bytes, random: Random) -> bytes:
    return content + b"TAG" + bytes(random.choice(b"abc\0") for _ in range(125))


def _ape_behind(content: bytes, random: Random) -> bytes:
    item = struct.pack("<II", 3, 0) + b"Title\0abc"
    foot = b"APETAGEX" + struct.pack("<IIII", 2_000, len(item) + 32, 1, 0) + bytes(8)
    return content + item + foot


def _chunk_in_front(content: bytes, random: Random) -> bytes:
    chunk = _chunk(random)
    return content[:12] + chunk + content[12:]


def _chunk_behind(content: bytes, random: Random) -> bytes:
    return content + bytes(len(content) % 2) + _chunk(random)


def _chunk(random: Random) -> bytes:
    body = random.randbytes(random.choice((0, 2, 7, 400)))
    name = random.choice((b"LIST", b"JUNK", b"bext", b"iXML", b"PAD "))
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _joined(content: bytes, random: Random) -> bytes:
    return content + content


def _three_joined(content: bytes, random: Random) -> bytes:
    return content * 3


def _size_unknown(content: bytes, random: Random) -> bytes:
    place = content.index(b"data") + 4
    size = struct.pack("<I", random.choice((0, 0xFFFF_FFFF, 0x7FFF_F000, 0x7FFF_FFFF)))
    riff = random.choice((size, content[4:8]))
    return content[:4] + riff + content[8:place] + size + content[place + 4 :]


def _size_unknown_au(content: bytes, random: Random) -> bytes:
    return content[:8] + b"\xff\xff\xff\xff" + content[12:]


def _odd_header(content: bytes, random: Random) -> bytes:
    """Another codec, number of channels, rate, bytes per frame or bits in the header of a WAV."""
    place = content.index(b"fmt ") + 8
    offset, kind = random.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (12, "H"), (14, "H")))
    numbers = (0, 1, 2, 3, 8, 17, 255, 1_000, 8_000, 44_100, 65_535, 192_000, 2**31, 2**32 - 1)
    number = random.choice([n for n in numbers if n < 1 << 8 * struct.calcsize(kind)])
    place += offset
    return (
        content[:place] + struct.pack(f"<{kind}", number) + content[place + struct.calcsize(kind) :]
    )
