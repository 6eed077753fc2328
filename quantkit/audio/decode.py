"""Audio files → mono float32 waveforms at the sample rate of a front end.

WAV, FLAC, Ogg (Vorbis, Opus) and MP3 go through libsndfile, resampling through soxr.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr

from quantkit.arrays import FloatArray
from quantkit.audio.mpeg import quiet_decoder
from quantkit.errors import AudioError

#: Suffixes of audio files, for folders without a list.
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"})

#: Longer clips are refused before they are decoded: one hour of float32 at 16 kHz is 230 MB.
MAX_SECONDS = 3600.0

_BLOCK_SAMPLES = 1 << 20
# libsndfile reports this count (2**63 - 1) for streams of unknown length.
_UNKNOWN_FRAMES = 1 << 62

# Placeholder sizes of programs that write a WAV into a pipe: 0, all bits set, or (SoX, arecord)
# about 2 GiB.
_SMALLEST_UNKNOWN_BYTES = 0x7FFF_F000
# Otherwise a file of zeros would be read as empty chunks of eight bytes.
_MOST_CHUNKS = 10_000


def read_audio(
    path: Path, sample_rate: int = 16_000, max_seconds: float = MAX_SECONDS
) -> FloatArray:
    """Decode one clip, average its channels and resample it (soxr, high quality).

    Args:
        path: WAV, FLAC, Ogg/Vorbis, Ogg/Opus or MP3, of any rate and number of channels.
        sample_rate: of the result, in Hz.
        max_seconds: a longer clip is an error, raised before the rest is decoded.

    Returns:
        (samples,) float32; full scale is [-1, 1], clips in float formats may exceed it.

    Raises:
        AudioError: the file is missing, empty, not audio, truncated, too long, or contains NaN.
    """
    with _opened(path) as stream:
        rate = stream.samplerate
        claimed = stream.frames
        if claimed < _UNKNOWN_FRAMES:
            _check_length(path, claimed / rate, max_seconds)
        blocks = []
        decoded = 0
        for block in _mono_blocks(path, stream):
            decoded += block.size
            # A header may state fewer samples than the stream has, or none.
            _check_length(path, decoded / rate, max_seconds)
            blocks.append(block)
    if not decoded:
        raise AudioError(f"{path} holds no samples")
    if decoded < claimed < _UNKNOWN_FRAMES:
        raise AudioError(
            f"{path} is cut off: {decoded / rate:.2f} of {claimed / rate:.2f} s could be decoded"
        )
    waveform = np.concatenate(blocks)
    if not np.isfinite(waveform).all():
        raise AudioError(f"{path} holds samples that are not finite (NaN or infinity)")
    if rate != sample_rate:
        waveform = soxr.resample(waveform, rate, sample_rate, quality="HQ")
    return np.ascontiguousarray(waveform, dtype=np.float32)


def audio_seconds(path: Path, max_seconds: float = MAX_SECONDS) -> float:
    """Duration in seconds, from the container's header if it states one (without decoding).

    Raises:
        AudioError: as :func:`read_audio`, for faults visible in the header.
    """
    with _opened(path) as stream:
        frames, rate = int(stream.frames), int(stream.samplerate)
    if frames >= _UNKNOWN_FRAMES:
        frames = read_audio(path, rate, max_seconds).size
    if frames == 0:
        raise AudioError(f"{path} holds no samples")
    seconds = frames / rate
    _check_length(path, seconds, max_seconds)
    return seconds


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise AudioError(f"cannot read {path}: {error.strerror or error}") from error
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or device"
        raise AudioError(f"{path} is {kind}; an audio file is needed")
    if size == 0:
        raise AudioError(f"{path} is empty")
    _check_riff(path, size)
    with quiet_decoder(path), _sound_file(path) as stream:
        yield stream


def _check_riff(path: Path, size: int) -> None:
    """Refuse a WAV that is shorter than its header says; libsndfile reads it silently."""
    try:
        with path.open("rb") as stream:
            order = {b"RIFF": "<", b"RIFX": ">"}.get(stream.read(4))
            if order is None:
                return
            position = 12
            for _ in range(_MOST_CHUNKS):
                stream.seek(position)
                header = stream.read(8)
                if len(header) < 8:
                    return
                name, promised = struct.unpack(f"{order}4sI", header)
                position += 8
                if name == b"data":
                    break
                # Chunks begin at even positions.
                position += promised + promised % 2
            else:
                return
    except OSError as error:
        raise AudioError(f"cannot read {path}: {error.strerror or error}") from error
    if size - position < promised < _SMALLEST_UNKNOWN_BYTES:
        raise AudioError(
            f"{path} is cut off: it holds {size - position} of {promised} bytes of samples"
        )


def _sound_file(path: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(str(path))
    # TypeError: a .raw file has no header; UnicodeEncodeError: a name that cannot be encoded.
    except (soundfile.SoundFileError, TypeError, UnicodeEncodeError, OSError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise AudioError(
            f"{path} is not audio that can be read (WAV, FLAC, Ogg or MP3): {reason}"
        ) from error


def _mono_blocks(path: Path, stream: soundfile.SoundFile) -> Iterator[FloatArray]:
    """Decode in blocks, so that a wrong header cannot exhaust the memory."""
    frames = max(1, _BLOCK_SAMPLES // stream.channels)
    while True:
        try:
            block = stream.read(frames, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            reason = getattr(error, "error_string", str(error)).rstrip(".")
            raise AudioError(f"{path} is damaged: {reason}") from error
        if block.shape[0]:
            yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
        if block.shape[0] < frames:
            return


def _check_length(path: Path, seconds: float, max_seconds: float) -> None:
    if seconds > max_seconds:
        raise AudioError(f"{path} lasts {seconds:.0f} s or more; the limit is {max_seconds:g} s")
