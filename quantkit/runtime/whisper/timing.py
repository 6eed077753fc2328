"""When the tokens of a text were said, and how sure the model is of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.runtime.encoder_decoder.network import States
from quantkit.runtime.whisper.cross_attention import CrossAttention
from quantkit.runtime.whisper.token_times import token_frames
from quantkit.text.whisper_vocabulary import TIMESTAMP_STEP

# Frames of the spectrum in one of attention.
_FRAMES = 2
# Of a spectrum as Whisper takes it, the power is ten to so many times the value.
_LOG_POWER = 4.0
# What is softer than the loudest by 35 dB, or in the lower third between noise and speech, in
# powers of ten.
_SOFT, _LOW = 3.5, 1 / 3
# Of samples that are all zero, so that their logarithm is finite.
_SILENT_POWER = 1e-10


@dataclass(frozen=True)
class TimedToken:
    """A token of a text.

    Args:
        start, end: seconds in what the encoder heard.
        log_prob: natural logarithm of its probability after the tokens before it.
    """

    token: int
    start: float
    end: float
    log_prob: float


class TokenTimer:
    """Finds the times of tokens by the cross-attention of a decoder.

    Args:
        step: seconds from one frame of the encoder to the next; Whisper's are as long as a step of
            its timestamps.
        offset: seconds at which the first begins.
    """

    def __init__(
        self, attention: CrossAttention, step: float = TIMESTAMP_STEP, offset: float = 0.0
    ) -> None:
        self._attention, self._step, self._offset = attention, step, offset

    def __call__(
        self, encoded: States, prompt: Sequence[int], text: Sequence[int], levels: FloatArray
    ) -> tuple[TimedToken, ...]:
        """The times of a text.

        Attention tells tokens from one another, and not from the pauses around them. So what is
        soft at the ends of a token's time is taken off.

        Args:
            encoded: what it was written from.
            prompt: that asks for it, without times.
            text: its tokens, without times.
            levels: (frames,) loudness of the clip in each frame of the encoder, in powers of ten;
                what lies behind was not said.
        """
        if not text:
            return ()
        reading = self._attention.read(encoded, prompt, text)
        frames = max(1, min(reading.weights.shape[2], len(levels)))
        begins = token_frames(reading.weights[:, :, :frames])
        loud = _loud(levels)
        found = []
        for token, start, end, log_prob in zip(
            text, begins[:-1].tolist(), begins[1:].tolist(), reading.log_probs, strict=True
        ):
            inside = np.flatnonzero(loud[start:end])
            if inside.size:
                start, end = start + int(inside[0]), start + int(inside[-1]) + 1
            found.append(TimedToken(token, self._at(start), self._at(end), float(log_prob)))
        return tuple(found)

    def _at(self, frame: int) -> float:
        """Seconds at which a frame begins."""
        return self._offset + self._step * frame


def spectrum_levels(spectrum: FloatArray) -> FloatArray:
    """Loudness of each frame of a Whisper's attention, in powers of ten.

    Args:
        spectrum: (frames, mel_bands) as it takes it.
    """
    whole = len(spectrum) // _FRAMES * _FRAMES
    power = (10.0 ** (_LOG_POWER * spectrum[:whole])).sum(axis=1)
    level: FloatArray = np.log10(power).reshape(-1, _FRAMES).max(axis=1)
    return level


def waveform_levels(waveform: FloatArray, hop: int) -> FloatArray:
    """Loudness of every ``hop`` samples of (samples,), in powers of ten; the last may be fewer."""
    power = np.square(waveform, dtype=np.float64)
    starts = np.arange(0, len(power), hop)
    sums = np.add.reduceat(power, starts) if starts.size else power
    level: FloatArray = np.log10(sums / hop + _SILENT_POWER)
    return level


def _loud(levels: FloatArray) -> Array:
    """Whether each frame is louder than what lies between words."""
    if not len(levels):
        return np.ones(1, bool)
    peak, floor = np.percentile(levels, [95, 5])
    threshold = max(peak - _SOFT, floor + _LOW * (peak - floor))
    found: Array = levels >= threshold
    return found
