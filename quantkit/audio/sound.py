"""What a clip sounds like: how long it is, how loud its speech, and how far that is above the rest.

Powers of short frames are enough for all three, so a clip of any length takes little memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import Doubles, FloatArray

#: Of the audio that is measured, in hertz.
SAMPLE_RATE = 16_000

# 25 ms.
_FRAME = 400
# ITU-T Recommendation P.56 (2011), method B: speech is what is at most so far below its own level.
_MARGIN_DECIBELS = 15.9
_QUIETEST_SHARE = 0.1
# Digital silence would be infinitely far below; nothing that is recorded is further.
_MOST_DECIBELS = 96.0
_ROUNDS = 50


@dataclass(frozen=True)
class Sound:
    """Figures of one clip.

    Args:
        seconds: of all of it.
        level: of its speech, in decibels of full scale: the mean power of the frames that are at
            most 15.9 dB below that mean (active speech level, after ITU-T P.56, over frames of
            25 ms instead of an envelope).
        noise: how far that is above the quietest tenth of the frames, in decibels, at most 96. It
            is the signal-to-noise ratio where the speaker pauses for a tenth of the clip.
    """

    seconds: float
    level: float
    noise: float


def speech_level(waveform: FloatArray, sample_rate: int) -> float:
    """Root mean square of the speech in a clip: its active level as an amplitude; 0 of silence.

    Args:
        waveform: (samples,) at ``sample_rate`` hertz.
    """
    frame = max(1, sample_rate // 40)
    whole = waveform.size // frame * frame
    if not whole:
        return float(np.std(waveform, dtype=np.float64)) if waveform.size else 0.0
    power = np.var(waveform[:whole].reshape(-1, frame), axis=1, dtype=np.float64)
    return float(np.sqrt(_active_power(power)))


def measure_sound(blocks: Iterable[FloatArray]) -> Sound | None:
    """The figures of a clip; None of one that has no frame, or is silent.

    >>> tone = np.sin(np.arange(16_000) / 5).astype(np.float32)
    >>> round(measure_sound([tone, 0.01 * tone]).noise)
    40

    Args:
        blocks: (samples,) each, at 16 kHz, together one clip.
    """
    powers, samples, rest = [], 0, np.zeros(0, np.float32)
    for block in blocks:
        samples += block.size
        joined = np.concatenate((rest, block)) if rest.size else block
        whole = joined.size // _FRAME * _FRAME
        # A constant is no sound.
        powers.append(np.var(joined[:whole].reshape(-1, _FRAME), axis=1, dtype=np.float64))
        rest = joined[whole:].copy()
    power = np.concatenate(powers) if powers else np.zeros(0)
    speech = _active_power(power)
    if speech <= 0.0:
        return None
    quiet = float(np.quantile(power, _QUIETEST_SHARE))
    least = speech * 10.0 ** (-_MOST_DECIBELS / 10.0)
    return Sound(
        samples / SAMPLE_RATE,
        10.0 * float(np.log10(speech)),
        10.0 * float(np.log10(speech / max(quiet, least))),
    )


def _active_power(power: Doubles) -> float:
    """The level that is the mean of what is at most the margin below it, from below."""
    below = 10.0 ** (-_MARGIN_DECIBELS / 10.0)
    level = float(power.mean()) if power.size else 0.0
    for _ in range(_ROUNDS):
        active = float(power[power >= level * below].mean()) if level > 0.0 else 0.0
        if active <= level:
            break
        level = active
    return level
