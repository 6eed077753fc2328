"""M4A, WMA, AMR, WebM, video and more, by FFmpeg's libraries (PyAV, an optional dependency)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import av
import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.containers.part import MediaFormat
from quantkit.errors import AudioError

# Some formats name other files and addresses. None is opened: the content is all that is read.
_OPTIONS = {"protocol_whitelist": "none", "enable_drefs": "0"}


@contextmanager
def media_blocks(
    stream: BinaryIO, form: MediaFormat
) -> Iterator[tuple[int, float, Iterator[FloatArray]]]:
    """Sample rate, seconds (0: unknown) and blocks of (samples, channels) of the first sound track.

    Args:
        form: only its demuxer is tried, whatever the content looks like.

    Raises:
        AudioError: it is damaged, or has no audio that can be decoded.
    """
    av.logging.set_level(av.logging.PANIC)
    try:
        container = av.open(
            stream, format=form.demuxer, options=_OPTIONS, metadata_errors="replace"
        )
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(f"is not {form.name} that can be read: {_reason(error)}") from error
    with container:
        if not container.streams.audio:
            raise AudioError(f"is {form.name} without a sound track")
        track = container.streams.audio[0]
        # A codec that this build of FFmpeg does not have.
        rate = int(getattr(track, "rate", None) or 0)
        if not rate:
            raise AudioError(f"is {form.name}, and no decoder knows its codec")
        seconds = float((track.duration or 0) * (track.time_base or 0))
        if not seconds and len(container.streams) == 1:
            seconds = (getattr(container, "duration", None) or 0) / av.time_base
        yield rate, seconds, _blocks(container, track, rate)


def _blocks(container: Any, track: Any, rate: int) -> Iterator[FloatArray]:
    # Floats of all channels side by side, at the rate that the header states.
    converter = av.AudioResampler(format="flt", rate=rate or None)
    damage: Exception | None = None
    packets = container.demux(track)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, ValueError) as error:
            damage = error
            break
        if packet is None:
            break
        try:
            for frame in packet.decode():
                frame.pts = None
                yield from _converted(converter.resample(frame))
        except (av.FFmpegError, ValueError) as error:
            # As players do: the frames behind a damaged one are heard.
            damage = error
    try:
        yield from _converted(converter.resample(None))
    except (av.FFmpegError, ValueError) as error:
        damage = error
    if damage is not None:
        raise AudioError(f"is damaged: {_reason(damage)}") from damage


def _converted(frames: Any) -> Iterator[FloatArray]:
    for frame in frames:
        channels = len(frame.layout.channels)
        yield np.asarray(frame.to_ndarray(), np.float32).reshape(-1, channels)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error)
