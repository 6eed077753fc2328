"""Samples in memory → mono float32 waveforms, as if they had been read from a file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from quantkit.arrays import Array, FloatArray
from quantkit.audio.decode import HIGHEST_RATE, LOWEST_RATE, MAX_SECONDS
from quantkit.audio.recording import LOUDEST
from quantkit.audio.resampler import QUALITY
from quantkit.errors import AudioError, InputError

# More channels than this are no recording: the axes of the array mean something else.
_MOST_CHANNELS = 8
_FULL_SCALE = {"int16": 2.0**15, "int32": 2.0**31}


def mono_waveform(samples: npt.ArrayLike, name: str = "the clip") -> FloatArray:
    """One clip as every front end takes it; the same numbers as the same clip in a file gives.

    >>> mono_waveform(np.array([0, 16384, -32768], np.int16))
    array([ 0. ,  0.5, -1. ], dtype=float32)

    Args:
        samples: (samples,), or (samples, channels) or (channels, samples) with up to 8 channels,
            which are averaged as those of files are. Floats are in [-1, 1]; int16 and int32 fill
            their whole range, and are divided by 2**15 and 2**31.
        name: of the clip, for messages.

    Returns:
        (samples,) float32, a copy only where something had to change.

    Raises:
        AudioError: another type or shape, no samples at all, samples that are not finite, or
            floats that are far outside [-1, 1].
    """
    array = np.asarray(samples)
    if array.ndim not in (1, 2):
        raise AudioError(
            f"{name}: an array of shape {array.shape} is no clip; give (samples,), or "
            "(samples, channels)"
        )
    if not array.size:
        raise AudioError(f"{name} holds no samples")
    if array.ndim == 2:
        array = _channels_last(array, name)
    waveform = _scaled(array, name)
    if not np.isfinite(waveform).all():
        raise AudioError(f"{name} holds samples that are not finite (NaN or infinity)")
    if waveform.ndim == 2:
        one = waveform.shape[1] == 1
        waveform = waveform[:, 0] if one else waveform.mean(axis=1, dtype=np.float32)
    return np.ascontiguousarray(waveform)


def resampled(waveform: FloatArray, sample_rate: int, wanted: int) -> FloatArray:
    """``waveform`` at another rate, as :func:`~quantkit.audio.decode.read_audio` resamples.

    Args:
        waveform: (samples,) at ``sample_rate`` hertz.
        wanted: of the result, in hertz.
    """
    if sample_rate == wanted:
        return waveform
    changed = soxr.resample(waveform, sample_rate, wanted, quality=QUALITY)
    return np.ascontiguousarray(changed, dtype=np.float32)


def require_rate(sample_rate: float | None) -> int:
    """The sample rate of an array, which an array itself does not say.

    Raises:
        InputError: none is given, or it is no whole number of hertz from 1,000 to 1,000,000.
    """
    if sample_rate is None:
        raise InputError(
            "an array does not say its sample rate: give it in hertz, such as sample_rate=16000"
        )
    lowest, highest = LOWEST_RATE, HIGHEST_RATE
    known = isinstance(sample_rate, int | float | np.number) and not isinstance(sample_rate, bool)
    if not known or not lowest <= sample_rate <= highest or sample_rate != int(sample_rate):
        raise InputError(
            f"sample_rate={sample_rate!r} is no whole number of hertz from {lowest:,} to "
            f"{highest:,}, such as 16000"
        )
    return int(sample_rate)


def require_length(waveform: FloatArray, sample_rate: int, name: str) -> None:
    """Refuse what :func:`~quantkit.audio.decode.read_audio` would refuse in a file.

    Raises:
        AudioError: the clip lasts longer than an hour.
    """
    seconds = waveform.size / sample_rate
    if seconds > MAX_SECONDS:
        raise AudioError(f"{name} lasts {seconds:.0f} s; the limit is {MAX_SECONDS:g} s")


def _channels_last(array: Array, name: str) -> Array:
    """(samples, channels), from either order."""
    first, second = array.shape
    if second <= _MOST_CHANNELS and second < first:
        return array
    if first <= _MOST_CHANNELS and first < second:
        return array.T
    if array.shape == (1, 1):
        return array
    raise AudioError(
        f"{name}: an array of shape {array.shape} is no recording of up to {_MOST_CHANNELS} "
        "channels; give (samples,), (samples, channels) or (channels, samples), and several clips "
        "as a list"
    )


def _scaled(array: Array, name: str) -> FloatArray:
    """The same in float32, full scale [-1, 1]."""
    kind = array.dtype.newbyteorder("=").name
    if kind in _FULL_SCALE:
        return np.asarray(array / _FULL_SCALE[kind], np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        peak = float(np.nanmax(np.abs(array), initial=0.0))
        if LOUDEST < peak < np.inf:
            raise AudioError(
                f"{name}: its samples go up to {peak:g}, and floats are to be in [-1, 1]; divide "
                "16-bit numbers by 32768, or give them as int16"
            )
        return np.asarray(array, np.float32)
    hint = ""
    if kind == "uint8":
        hint = "; if they are 8-bit samples, give (x.astype('float32') - 128) / 128"
    raise AudioError(
        f"{name}: samples of type {array.dtype} are ambiguous; give float32 or float64 in "
        f"[-1, 1], int16 or int32{hint}"
    )
