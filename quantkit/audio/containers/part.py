"""One recording within a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantkit.audio.containers.view import View


@dataclass(frozen=True)
class MediaFormat:
    """A format that only FFmpeg's libraries read.

    Args:
        demuxer: its name there.
        name: for people, such as ``MP4 or M4A``.
    """

    demuxer: str
    name: str


@dataclass(frozen=True)
class WideSamples:
    """Samples of more bits than libsndfile reads.

    Args:
        sample_rate: in hertz.
        type: NumPy's name of one sample, with its byte order.
    """

    sample_rate: int
    channels: int
    type: str


@dataclass(frozen=True)
class Part:
    """Samples of one rate and number of channels, as a decoder must see them.

    Args:
        content: what the decoder reads.
        counted: whether its header says how many samples there are; otherwise the content is
            decoded as far as it goes.
        frames: samples of a channel that its header states, where the decoder is not to believe
            it and sees none.
        ends: whether it has its end; False where that shows in something else than a number.
        missing: share of its samples that its header promises and the file does not hold.
        notes: what was mended or cannot be heard, to warn of.
        media: set for what libsndfile does not know.
        perhaps: the format, where libsndfile does not know all of it.
        headerless: arguments of libsndfile for content that does not say what it is.
        wide: set for samples that are read as they are.
        noisy: whether its decoder may write to standard error.
    """

    content: View
    counted: bool = True
    frames: int | None = None
    ends: bool = True
    missing: float = 0.0
    notes: tuple[str, ...] = ()
    media: MediaFormat | None = None
    perhaps: MediaFormat | None = None
    headerless: Mapping[str, Any] = field(default_factory=dict)
    wide: WideSamples | None = None
    noisy: bool = False
