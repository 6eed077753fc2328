"""Every front end that an artifact can have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.frontend import Frontend
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import FormatError, InputError


class AnyFrontend(Protocol):
    """Waveform → what a model takes."""

    @property
    def sample_rate(self) -> int:
        """Of the waveform, in hertz."""
        ...

    @property
    def window(self) -> int:
        """Samples of the shortest clip."""
        ...

    def frames_of(self, samples: int) -> int:
        """Steps of the model's input that a clip of ``samples`` samples has."""
        ...

    def seconds_of(self, frames: int) -> float:
        """Duration in seconds of so many of them."""
        ...

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """The model's input for a (samples,) waveform in [-1, 1] at ``sample_rate``.

        Raises:
            AudioError: the clip is shorter than ``window`` or is not finite.
        """
        ...

    def to_json(self) -> str:
        """A JSON object with its ``kind``: an artifact's ``quantkit.frontend`` metadata."""
        ...


@runtime_checkable
class StreamingFrontend(Protocol):
    """A front end that need not have the whole waveform in memory."""

    def of_blocks(self, blocks: Iterable[FloatArray]) -> FloatArray:
        """The model's input for the (samples,) blocks of one clip."""
        ...


def features_of_blocks(frontend: AnyFrontend, blocks: Iterable[FloatArray]) -> FloatArray:
    """The model's input for a long clip.

    Args:
        blocks: (samples,) each, together one clip.

    Raises:
        AudioError: the clip is shorter than one window.
    """
    if isinstance(frontend, StreamingFrontend):
        return frontend.of_blocks(blocks)
    return frontend(np.concatenate([*blocks]))


_READERS: dict[str, Callable[[str], AnyFrontend]] = {
    "log-mel": Frontend.from_json,
    "waveform": WaveformFrontend.from_json,
    "whisper-log-mel": WhisperFrontend.from_json,
}


def register_frontend(kind: str, reader: Callable[[str], AnyFrontend]) -> None:
    """Let artifacts name front ends of a further kind.

    Args:
        reader: inverse of their ``to_json``; raises FormatError.

    Raises:
        InputError: there is another one of that kind.
    """
    if _READERS.setdefault(kind, reader) != reader:
        raise InputError(f"there is a front end {kind!r} already")


def frontend_from_json(text: str) -> AnyFrontend:
    """The front end that an artifact's ``quantkit.frontend`` metadata describes.

    >>> frontend_from_json(WaveformFrontend(8_000).to_json()).sample_rate
    8000

    Raises:
        FormatError: an unknown kind, or missing or unknown settings.
    """
    try:
        kind = json.loads(text)["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"front end settings are not readable: {error}") from error
    if kind not in _READERS:
        raise FormatError(f"there is no front end {kind!r}; known: {', '.join(_READERS)}")
    return _READERS[kind](text)
