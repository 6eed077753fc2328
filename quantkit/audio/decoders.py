"""From one recording of a file to blocks of samples: by libsndfile, by FFmpeg's libraries, or as
the numbers are."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
import soundfile

from quantkit.arrays import FloatArray
from quantkit.audio.containers import Part
from quantkit.audio.containers.part import MediaFormat, WideSamples
from quantkit.audio.mpeg import quiet_decoder
from quantkit.errors import AudioError

#: Samples of all channels that are decoded at a time.
BLOCK_SAMPLES = 1 << 20
# libsndfile reports 2**63 - 1 for streams of unknown length.
_UNKNOWN_FRAMES = 1 << 62
# Whose headers state how long the sound lasts; of others it is an estimate from the bit rate.
_TIMED = frozenset({"mov", "matroska"})
_INSTALL = "pip install 'quantkit[media]'"


@dataclass(frozen=True)
class Decoded:
    """A recording that is being decoded.

    Args:
        rate: in hertz, as the file states it.
        frames: samples of a channel that the header states; None where it states none.
        blocks: (samples, channels) each.
        seconds: about how long it lasts, where ``frames`` is not known and that is; else 0.
        is_exact: whether ``seconds`` is what the header states, and not an estimate.
    """

    rate: int
    frames: int | None
    blocks: Iterator[FloatArray]
    seconds: float = 0.0
    is_exact: bool = False


@contextmanager
def decoding(part: Part) -> Iterator[Decoded]:
    """``part``, ready to be decoded as long as the block lasts.

    Raises:
        AudioError: it is no audio, or of a format whose decoder is not installed; the message says
            what is wrong and leaves the file's name to the caller.
    """
    if part.media is not None:
        with _media(part, part.media) as decoded:
            yield decoded
    elif part.wide is not None:
        yield _wide(part, part.wide)
    else:
        with _by_sound_file(part) as decoded:
            yield decoded


def _by_sound_file(part: Part) -> AbstractContextManager[Decoded]:
    """By libsndfile; what it refuses, by FFmpeg's libraries where they may know it."""
    try:
        return _sound_file(part, _opened(part))
    except AudioError:
        if part.perhaps is None:
            raise
        part.content.seek(0)
        return _media(part, part.perhaps)


class _Stream(soundfile.SoundFile):  # type: ignore[misc]
    """Never sought in: soundfile seeks behind every block, which not every stream allows."""

    def seekable(self) -> bool:
        return False


def _opened(part: Part) -> _Stream:
    try:
        with _quiet(part):
            return _Stream(part.content, **part.headerless)
    # TypeError: content without a header.
    except (soundfile.SoundFileError, TypeError, OSError) as error:
        _raise_unread(part)
        raise AudioError(
            f"is not audio that can be read (WAV, FLAC, Ogg, MP3 …): {_reason(error)}"
        ) from error


@contextmanager
def _sound_file(part: Part, stream: _Stream) -> Iterator[Decoded]:
    with stream:
        frames = part.frames
        if frames is None and part.counted and stream.frames < _UNKNOWN_FRAMES:
            frames = int(stream.frames)
        yield Decoded(int(stream.samplerate), frames, _blocks(part, stream))


def _blocks(part: Part, stream: soundfile.SoundFile) -> Iterator[FloatArray]:
    size = max(1, BLOCK_SAMPLES // stream.channels)
    while True:
        # Where a block is damaged, libsndfile does not say how much of it was decoded.
        block = np.full((size, stream.channels), np.nan, np.float32)
        try:
            with _quiet(part):
                block = stream.read(dtype="float32", out=block)
        except soundfile.SoundFileError as error:
            _raise_unread(part)
            decoded = len(block) - int(np.isnan(block[::-1]).all(axis=1).argmin())
            if not np.isnan(block[:1]).all():
                yield block[:decoded]
            raise AudioError(f"is damaged: {_reason(error)}") from error
        _raise_unread(part)
        if len(block):
            yield block
        if len(block) < size:
            return


def _quiet(part: Part) -> AbstractContextManager[None]:
    # Never longer than a call: a block may be followed by a progress bar.
    return quiet_decoder() if part.noisy else nullcontext()


def _raise_unread(part: Part) -> None:
    """Raise what went wrong below libsndfile."""
    if part.content.error is not None:
        error = part.content.error
        raise AudioError(f"cannot be read: {error.strerror or error}") from error


def _reason(error: Exception) -> str:
    text = str(getattr(error, "error_string", "") or error)
    if "not a regular file" in text:
        # So says libsndfile of an MP3 without a frame that can be decoded.
        return "nothing in it can be decoded"
    return " ".join(text.split()).rstrip(".") or "its decoder does not say why"


def _wide(part: Part, form: WideSamples) -> Decoded:
    each = np.dtype(form.type).itemsize * form.channels
    scale = np.float64(2.0 ** (8 * np.dtype(form.type).itemsize - 1))

    def blocks() -> Iterator[FloatArray]:
        size = max(1, BLOCK_SAMPLES // form.channels) * each
        while content := part.content.read(size):
            whole = len(content) // each * each
            numbers = np.frombuffer(content[:whole], form.type).reshape(-1, form.channels)
            yield (numbers / scale).astype(np.float32)
        _raise_unread(part)

    return Decoded(form.sample_rate, part.content.size // each, blocks())


@contextmanager
def _media(part: Part, form: MediaFormat) -> Iterator[Decoded]:
    if importlib.util.find_spec("av") is None:
        raise AudioError(f"is {form.name}, which needs the optional library PyAV: {_INSTALL}")
    from quantkit.audio.media import media_blocks

    with media_blocks(cast(BinaryIO, part.content), form) as (rate, seconds, blocks):
        yield Decoded(rate, None, blocks, seconds, seconds > 0 and form.demuxer in _TIMED)
