"""Clips that cannot hold speech, by their level alone: silence, and steady noise or tones."""

from __future__ import annotations

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.errors import AudioError

#: Root mean square around the mean below which a clip is silent: one step of 16-bit samples, or
#: -90 dB of full scale. The quietest of 9,748 recordings of speech has -53 dB. Of some that were
#: made 60 dB quieter, at -86 dB, the shipped model still writes two thirds of the letters; at
#: -106 dB nothing. Dither has -93 dB or less.
SILENCE = 2.0**-15
#: Change of level, in decibels, below which a clip is steady. Of 9,748 recordings of speech one has
#: less, a digit of 0.2 s; sentences have 12 or more. White and pink noise, hum and tones have 1 or
#: less, and so has a third of the recorded background noises.
STEADY_DECIBELS = 1.5

# Of 25 ms at 16 kHz; level is the mean over one.
_FRAME = 400
# A change of level shows in no fewer frames.
_FEWEST_FRAMES = 8
_FRAMES_AT_ONCE = 4096
_TINY = 1e-30


def require_sound(waveform: FloatArray) -> None:
    """Refuse a clip that nothing can be learnt from: silence, a constant, or dither alone.

    Args:
        waveform: (samples,) in [-1, 1].

    Raises:
        AudioError: its root mean square around its mean is below :data:`SILENCE`.
    """
    level = float(np.std(waveform, dtype=np.float64)) if waveform.size else 0.0
    if level >= SILENCE or not np.isfinite(level):
        return
    if level == 0.0:
        kind = "all samples are 0" if not waveform.any() else "all samples are equal"
        raise AudioError(f"it is silent: {kind}")
    raise AudioError(f"it is silent: its level is {20 * np.log10(level):.0f} dB of full scale")


def is_steady(waveform: FloatArray) -> bool:
    """Whether the level hardly changes, as that of noise or a tone does, and that of speech not.

    >>> is_steady(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))
    True

    Args:
        waveform: (samples,) at about 16 kHz. One of less than 0.2 s is never called steady.
    """
    frames = waveform[: waveform.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    if len(frames) < _FEWEST_FRAMES:
        return False
    power = np.empty(len(frames))
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        # Differences of neighbours: a slow drift, as of a constant that was filtered, is no sound.
        steps = np.diff(frames[start : start + _FRAMES_AT_ONCE].astype(np.float64), axis=1)
        power[start : start + len(steps)] = np.square(steps).mean(axis=1)
    decibels = 10.0 * np.log10(power + _TINY)
    low, high = np.quantile(decibels, [0.1, 0.95])
    return bool(high - low < STEADY_DECIBELS)
