"""What is done to clips by name: ``noise:10dB,reverb``.

The same text and seed do the same to a clip of the same name, whichever other clips there are.
Noise is made at the sample rate of the model, so only models of one rate hear the same noise.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.augmentation.noise import noise_recordings, stretch_of
from quantkit.audio.augmentation.rooms import reverberated
from quantkit.audio.augmentation.speechless import background
from quantkit.audio.sound import speech_level
from quantkit.errors import InputError

_Sound = Callable[[FloatArray, int, float, np.random.Generator], FloatArray]

# The band of telephone lines (ITU-T G.712), in hertz.
_TELEPHONE_BAND = (300.0, 3_400.0)
_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(db|s|)")


@dataclass(frozen=True)
class _Kind:
    """What one name does.

    Args:
        unit: of its number; empty where it takes none.
        usual: the number where none is given; None: one must be.
        low, high: what the number may be.
    """

    does: _Sound
    unit: str
    usual: float | None
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Alteration:
    """Some kinds of sound, one after the other.

    Args:
        parts: names of kinds with their numbers.
        seed: of every random choice.
    """

    parts: tuple[tuple[str, float], ...]
    seed: int = 0

    def __call__(self, waveform: FloatArray, sample_rate: int, name: str) -> FloatArray:
        """The clip as it would sound.

        Args:
            waveform: (samples,) at ``sample_rate`` hertz; not changed.
            name: of the clip.

        Returns:
            as many samples; they may lie outside [-1, 1].
        """
        key = f"{self.seed}\n{name}".encode("utf-8", "surrogatepass")
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()[:16], "big"))
        for kind, number in self.parts:
            waveform = _KINDS[kind].does(waveform, sample_rate, number, rng)
        return waveform

    def __str__(self) -> str:
        names = [
            f"{name}:{number:g}{_KINDS[name].unit}" if _says(name, number) else name
            for name, number in self.parts
        ]
        return ",".join(names)


def parse_alteration(text: str, seed: int = 0) -> Alteration:
    """What a text means.

    >>> str(parse_alteration("reverb, noise:5 dB"))
    'reverb,noise:5dB'

    Raises:
        InputError: an unknown name, or a number that it cannot have.
    """
    if seed < 0:
        raise InputError(f"a seed must be a whole number of at least 0, not {seed}")
    return Alteration(tuple(_part(part.strip()) for part in text.split(",")), seed)


#: Every name with a number that it may have, for help texts and messages.
NAMES = (
    "noise:10dB (pink), white:10dB, background:10dB, reverb or reverb:0.5s, gain:-20dB, telephone"
)


def _says(name: str, number: float) -> bool:
    """Whether a number says something: a random reverberation time has none."""
    kind = _KINDS[name]
    return bool(kind.unit) and kind.low <= number


def _part(text: str) -> tuple[str, float]:
    name, colon, number = text.partition(":")
    kind = _KINDS.get(name.strip().lower())
    if kind is None:
        raise InputError(f"nothing is called {name.strip()!r}; --add takes {NAMES}")
    if not colon:
        if kind.usual is None:
            raise InputError(f"{name} needs a number of {kind.unit}; --add takes {NAMES}")
        return name.strip().lower(), kind.usual
    found = _NUMBER.fullmatch(number.strip().lower())
    value = float(found[1]) if found else math.nan
    matching = found is not None and found[2] in ("", kind.unit.lower())
    if not kind.unit or not matching or not kind.low <= value <= kind.high:
        wanted = (
            f"a number from {kind.low:g} to {kind.high:g} {kind.unit}" if kind.unit else "no number"
        )
        raise InputError(f"--add {text!r}: {name} takes {wanted}")
    return name.strip().lower(), value


def _with_noise(
    waveform: FloatArray, noise: FloatArray, decibels: float, sample_rate: int
) -> FloatArray:
    """Noise at so many decibels below the speech of a clip; a silent clip stays silent."""
    loudness = float(np.sqrt(np.mean(np.square(noise, dtype=np.float64)))) + 1e-12
    level = speech_level(waveform, sample_rate) / loudness * 10.0 ** (-decibels / 20.0)
    return waveform + noise * np.float32(level)


def _pink(
    waveform: FloatArray, sample_rate: int, decibels: float, rng: np.random.Generator
) -> FloatArray:
    noise = stretch_of(noise_recordings()[1], waveform.size, rng)
    return _with_noise(waveform, noise, decibels, sample_rate)


def _white(
    waveform: FloatArray, sample_rate: int, decibels: float, rng: np.random.Generator
) -> FloatArray:
    noise = stretch_of(noise_recordings()[0], waveform.size, rng)
    return _with_noise(waveform, noise, decibels, sample_rate)


def _background(
    waveform: FloatArray, sample_rate: int, decibels: float, rng: np.random.Generator
) -> FloatArray:
    if not waveform.size:
        return waveform
    noise = background(waveform.size, sample_rate, rng)
    return _with_noise(waveform, noise, decibels, sample_rate)


def _reverb(
    waveform: FloatArray, sample_rate: int, seconds: float, rng: np.random.Generator
) -> FloatArray:
    return reverberated(waveform, sample_rate, rng, seconds or None)


def _gain(
    waveform: FloatArray, _sample_rate: int, decibels: float, _rng: np.random.Generator
) -> FloatArray:
    return waveform * np.float32(10.0 ** (decibels / 20.0))


def _telephone(
    waveform: FloatArray, sample_rate: int, _number: float, _rng: np.random.Generator
) -> FloatArray:
    # Takes long to import.
    from scipy.signal import butter, sosfilt

    low, high = _TELEPHONE_BAND
    high = min(high, 0.49 * sample_rate)
    filters = butter(4, (low, high), "bandpass", fs=sample_rate, output="sos")
    return np.asarray(sosfilt(filters, waveform), dtype=np.float32)


_KINDS: Mapping[str, _Kind] = {
    "noise": _Kind(_pink, "dB", 10.0, -30.0, 90.0),
    "white": _Kind(_white, "dB", 10.0, -30.0, 90.0),
    "background": _Kind(_background, "dB", 10.0, -30.0, 90.0),
    # 0 stands for a random time.
    "reverb": _Kind(_reverb, "s", 0.0, 0.05, 5.0),
    "gain": _Kind(_gain, "dB", None, -90.0, 40.0),
    "telephone": _Kind(_telephone, "", 0.0),
}
