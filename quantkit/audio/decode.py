"""Audio files → mono float32 waveforms at the sample rate of a front end.

A file is read in three steps: :mod:`~quantkit.audio.containers` finds the recordings in it,
:mod:`~quantkit.audio.decoders` makes samples of each, and here they are mixed, resampled (soxr) and
checked, a block at a time.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.containers import Part, parts_of
from quantkit.audio.decoders import decoding
from quantkit.audio.recording import (
    WHOLE,
    Excerpt,
    Recording,
    require_end,
    require_length,
    warn,
)
from quantkit.audio.resampler import Resampler
from quantkit.errors import AudioError
from quantkit.printable import printable

#: Longer clips are refused: nobody speaks to a recogniser for longer, and a small file can decode
#: to days.
MAX_SECONDS = 3600.0

#: Sample rates in hertz; beyond them a header is wrong.
LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000


@dataclass(frozen=True)
class AudioBytes:
    """An audio file that is no file of its own, such as a field of a table.

    Args:
        name: for messages.
        read: its bytes, each time anew.
        table: the file that holds it.
    """

    name: str
    read: Callable[[], bytes]
    table: Path

    def __str__(self) -> str:
        return self.name


#: Where a clip is read from.
Source: TypeAlias = Path | AudioBytes


def read_audio(
    source: Source,
    sample_rate: int = 16_000,
    max_seconds: float = MAX_SECONDS,
    excerpt: Excerpt = WHOLE,
    *,
    complete: bool = True,
) -> FloatArray:
    """Decode one clip, average its channels and resample it (soxr, high quality).

    Args:
        source: any format of :mod:`quantkit.audio.suffixes`, of any rate and number of channels.
            Its content says what it is, whatever its name ends in.
        sample_rate: of the result, in Hz.
        max_seconds: a longer clip is an error, raised before the rest is decoded.
        excerpt: the part to read.
        complete: whether a file that is cut off or damaged is an error, as it is where a
            transcript says what the whole of it holds. Otherwise what can be decoded is returned,
            with a warning.

    Returns:
        (samples,) float32; full scale is [-1, 1], clips in float formats may exceed it.

    Raises:
        AudioError: the file is missing, empty, not audio, too long, contains NaN or floats far
            outside [-1, 1], or is truncated although it is to be complete.
    """
    blocks = [*audio_blocks(source, sample_rate, max_seconds, excerpt, complete=complete)]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def audio_blocks(
    source: Source,
    sample_rate: int = 16_000,
    max_seconds: float = MAX_SECONDS,
    excerpt: Excerpt = WHOLE,
    *,
    complete: bool = True,
) -> Iterator[FloatArray]:
    """As :func:`read_audio`, in blocks, so that memory does not grow with the clip.

    Yields:
        (samples,) float32 each; one after the other they are what :func:`read_audio` returns.

    Raises:
        AudioError: as :func:`read_audio`, where the fault is reached.
    """
    name = printable(source)
    heard = 0.0
    total = 0
    with _opened(source) as parts:
        for part in parts:
            warn(name, part.notes)
            with _named(name), decoding(part) as decoded:
                _check_rate(decoded.rate)
                if decoded.frames is not None:
                    stated = min(heard + decoded.frames / decoded.rate, excerpt.stop)
                    require_length(stated - excerpt.start, max_seconds)
                clip = Recording(name, decoded, heard, excerpt, max_seconds, part, complete)
                for block in _resampled(clip.blocks(), decoded.rate, sample_rate):
                    total += block.size
                    yield block
                heard += clip.frames / decoded.rate
            if heard >= excerpt.stop:
                break
        if not total:
            begins = f" from {excerpt.start:g} s on" if heard and excerpt.start else ""
            raise AudioError(f"{name} holds no samples{begins}")


def audio_seconds(
    source: Source,
    max_seconds: float = MAX_SECONDS,
    excerpt: Excerpt = WHOLE,
    *,
    complete: bool = True,
) -> float:
    """Duration in seconds, from the container's header if it states one (without decoding).

    Args:
        source, max_seconds, excerpt, complete: as of :func:`read_audio`.

    Raises:
        AudioError: as :func:`read_audio`, for faults visible in the header.
    """
    name = printable(source)
    seconds = 0.0
    with _opened(source) as parts:
        for part in parts:
            with _named(name), decoding(part) as decoded:
                _check_rate(decoded.rate)
                if decoded.frames is not None:
                    require_end(part, decoded, complete and excerpt == WHOLE)
                    seconds += decoded.frames / decoded.rate
                elif decoded.seconds:
                    seconds += decoded.seconds
                else:
                    clip = Recording(name, decoded, seconds, excerpt, max_seconds, part, complete)
                    for _ in clip.blocks():
                        pass
                    seconds += clip.frames / decoded.rate
    seconds = min(seconds, excerpt.stop) - excerpt.start
    if seconds <= 0:
        raise AudioError(f"{name} holds no samples")
    with _named(name):
        require_length(seconds, max_seconds)
    return seconds


def file_kind(mode: int) -> str | None:
    """What is there instead of a file, by its ``st_mode``; None for a file."""
    if stat.S_ISREG(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "a pipe or device"


@contextmanager
def _opened(source: Source) -> Iterator[list[Part]]:
    """The recordings in a file; only a file is ever opened, so that nothing can hang."""
    name = printable(source)
    try:
        if isinstance(source, AudioBytes):
            content = source.read()
            stream: BinaryIO = io.BytesIO(content)
            size = len(content)
        else:
            status = source.stat()
            if kind := file_kind(status.st_mode):
                raise AudioError(f"{name} is {kind}; an audio file is needed")
            size = status.st_size
            stream = source.open("rb")
    # ValueError: a NUL in the name.
    except (OSError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"cannot read {name}: {reason}") from error
    with stream:
        if not size:
            raise AudioError(f"{name} is empty")
        try:
            with _named(name):
                parts = parts_of(stream, size)
        except OSError as error:
            raise AudioError(f"cannot read {name}: {error.strerror or error}") from error
        yield parts


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put a clip's name in front of what is wrong with it."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{name} {error}") from error


def _resampled(blocks: Iterator[FloatArray], rate: int, wanted: int) -> Iterator[FloatArray]:
    """The same samples at another rate; how they are cut into blocks changes nothing."""
    stream = Resampler(rate, wanted)
    for block in blocks:
        if (changed := stream.accept(block)).size:
            yield changed
    if (changed := stream.finish()).size:
        yield changed


def _check_rate(rate: int) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(
            f"states a sample rate of {rate:,} Hz; rates from {LOWEST_RATE:,} to "
            f"{HIGHEST_RATE:,} Hz are read"
        )
