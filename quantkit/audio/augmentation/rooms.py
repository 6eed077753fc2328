"""Rooms: reverberation by impulse responses of decaying noise."""

from __future__ import annotations

import numpy as np

from quantkit.arrays import FloatArray

_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.1, 0.7
_LATEST_ONSET_SECONDS = 0.02
_WETTEST_DECIBELS, _DRIEST_DECIBELS = -3.0, 15.0
# Amplitudes fall by 60 dB, a factor of 1,000, in the reverberation time.
_DECAY = np.log(1_000.0)


def reverberated(
    waveform: FloatArray,
    sample_rate: int,
    rng: np.random.Generator,
    seconds: float | None = None,
) -> FloatArray:
    """The clip as heard in a random room.

    The impulse response is the direct sound and, up to 20 ms later, Gaussian noise that decays
    exponentially (Polack 1988) with a reverberation time of 0.1 to 0.7 s. The direct sound's
    energy is -3 to 15 dB relative to the noise's.

    Args:
        waveform: (samples,) at ``sample_rate``; not changed.
        seconds: of reverberation; None: a random time.

    Returns:
        (samples,) float32, of the same energy and beginning.
    """
    # Takes long to import.
    from scipy.signal import fftconvolve

    response = _impulse_response(sample_rate, rng, seconds)
    heard = fftconvolve(waveform, response)[: waveform.size]
    energy = float(np.sum(heard**2))
    if energy > 0:
        heard = heard * np.sqrt(float(np.sum(waveform**2)) / energy)
    return np.asarray(heard, dtype=np.float32)


def _impulse_response(
    sample_rate: int, rng: np.random.Generator, seconds: float | None
) -> FloatArray:
    drawn = rng.uniform(_SHORTEST_SECONDS, _LONGEST_SECONDS)
    seconds = drawn if seconds is None else seconds
    onset = 1 + int(rng.uniform(0.0, _LATEST_ONSET_SECONDS) * sample_rate)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    tail = rng.standard_normal(time.size) * np.exp(-_DECAY * time / seconds)
    ratio = rng.uniform(_WETTEST_DECIBELS, _DRIEST_DECIBELS)
    tail *= 10.0 ** (-ratio / 20.0) / np.sqrt(np.sum(tail**2))
    response = np.zeros(onset + tail.size, np.float32)
    response[0] = 1.0
    response[onset:] = tail
    return response
