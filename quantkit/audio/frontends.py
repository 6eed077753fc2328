"""Every front end that an artifact can have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.frontend import Frontend
from quantkit.audio.gigaam_frontend import GigaamFrontend
from quantkit.audio.hann_kaldi_frontend import HannKaldiFrontend
from quantkit.audio.kaldi_frontend import KaldiFrontend
from quantkit.audio.lasr_frontend import LasrFrontend
from quantkit.audio.nemo_frontend import NemoFrontend, NemoRawFrontend
from quantkit.audio.running_normalization import StreamingFrontend
from quantkit.audio.seamless_frontend import SeamlessFrontend
from quantkit.audio.sherpa_nemo_frontend import SherpaNemoFrontend
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import FormatError, InputError
from quantkit.json_fields import parse_json


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
class BlockwiseFrontend(Protocol):
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
    if isinstance(frontend, BlockwiseFrontend):
        return frontend.of_blocks(blocks)
    return frontend(np.concatenate([*blocks]))


def streaming_frontend(frontend: AnyFrontend) -> StreamingFrontend:
    """``frontend`` as one whose features can be made while somebody speaks.

    Raises:
        InputError: they depend on what is still to come.
    """
    if isinstance(frontend, StreamingFrontend):
        return frontend
    raise InputError(
        f"features of {type(frontend).__name__} depend on the whole clip, so they cannot be made "
        "in a stream"
    )


_READERS: dict[str, Callable[[str], AnyFrontend]] = {
    "log-mel": Frontend.from_json,
    "waveform": WaveformFrontend.from_json,
    "whisper-log-mel": WhisperFrontend.from_json,
    "nemo-log-mel": NemoFrontend.from_json,
    "nemo-log-mel-raw": NemoRawFrontend.from_json,
    "kaldi-fbank": KaldiFrontend.from_json,
    "seamless-fbank": SeamlessFrontend.from_json,
    "lasr-log-mel": LasrFrontend.from_json,
    "gigaam-log-mel": GigaamFrontend.from_json,
    "hann-kaldi-fbank": HannKaldiFrontend.from_json,
    "sherpa-nemo-fbank": SherpaNemoFrontend.from_json,
}
# Front ends by the names that people know them by, for a sample rate.
_NAMED: dict[str, Callable[[int], AnyFrontend]] = {
    "nemo-80": lambda rate: NemoFrontend.for_rate(rate, 80),
    "nemo-128": lambda rate: NemoFrontend.for_rate(rate, 128),
    "kaldi-80": lambda rate: KaldiFrontend.for_rate(rate, 80),
    "kaldi-80-int16": lambda rate: KaldiFrontend.for_rate(rate, 80, integers=True),
    "gigaam-v2": lambda rate: GigaamFrontend.of_version(2, rate),
    "gigaam-v3": lambda rate: GigaamFrontend.of_version(3, rate),
    "gigaam-sherpa": HannKaldiFrontend.for_rate,
    "nemo-sherpa-80": lambda rate: SherpaNemoFrontend.for_rate(rate, 80),
    "nemo-sherpa-128": lambda rate: SherpaNemoFrontend.for_rate(rate, 128),
    "whisper-80": lambda rate: _whisper(rate, 80),
    "whisper-128": lambda rate: _whisper(rate, 128),
}
#: Front ends of models that take features, by name.
FRONTENDS = tuple(_NAMED)


def frontend_named(name: str, sample_rate: int = 16_000) -> AnyFrontend:
    """The front end of models that take features, by a name of :data:`FRONTENDS`.

    >>> frontend_named("nemo-80").frames_of(16_000)
    100

    Raises:
        InputError: there is none of that name, or it does not exist for that rate.
    """
    if name not in _NAMED:
        raise InputError(f"there is no front end {name!r}; known: {', '.join(FRONTENDS)}")
    if not 4_000 <= sample_rate <= 192_000:
        raise InputError(f"{name} is for 4,000 to 192,000 Hz, not for {sample_rate}")
    return _NAMED[name](sample_rate)


def _whisper(sample_rate: int, bands: int) -> WhisperFrontend:
    """All of its models hear the same rate, and its settings are in samples."""
    frontend = WhisperFrontend(mel_bands=bands)
    if sample_rate != frontend.sample_rate:
        raise InputError(f"Whisper hears {frontend.sample_rate} Hz, not {sample_rate}")
    return frontend


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
        kind = parse_json(text, "the front end")["kind"]
    except (KeyError, TypeError) as error:
        raise FormatError(f"front end settings are not readable: {error}") from error
    if not isinstance(kind, str) or kind not in _READERS:
        raise FormatError(f"there is no front end {kind!r}; known: {', '.join(_READERS)}")
    return _READERS[kind](text)
