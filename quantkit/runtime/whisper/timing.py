"""When the tokens of a window were said, and how sure the model is of each."""

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


@dataclass(frozen=True)
class TimedToken:
    """A token of a text.

    Args:
        start, end: seconds in its window.
        log_prob: natural logarithm of its probability after the tokens before it.
    """

    token: int
    start: float
    end: float
    log_prob: float


class TokenTimer:
    """Finds the times of tokens by the cross-attention of a decoder."""

    def __init__(self, attention: CrossAttention) -> None:
        self._attention = attention

    def __call__(
        self, encoded: States, prompt: Sequence[int], text: Sequence[int], spectrum: FloatArray
    ) -> tuple[TimedToken, ...]:
        """The times of a text.

        Attention tells tokens from one another, and not from the pauses around them. So what is
        soft at the ends of a token's time is taken off.

        Args:
            encoded: the window that it was written from.
            prompt: that asks for it, without times.
            text: its tokens, without times.
            spectrum: (frames, mel_bands) the clip in the window; what lies behind was not said.
        """
        if not text:
            return ()
        reading = self._attention.read(encoded, prompt, text)
        frames = max(1, min(reading.weights.shape[2], len(spectrum) // _FRAMES))
        begins = token_frames(reading.weights[:, :, :frames])
        loud = _loud(spectrum)
        found = []
        for token, start, end, log_prob in zip(
            text, begins[:-1].tolist(), begins[1:].tolist(), reading.log_probs, strict=True
        ):
            inside = np.flatnonzero(loud[start:end])
            if inside.size:
                start, end = start + int(inside[0]), start + int(inside[-1]) + 1
            # A frame of attention is as long as a step of the timestamps.
            times = TIMESTAMP_STEP * start, TIMESTAMP_STEP * end
            found.append(TimedToken(token, *times, float(log_prob)))
        return tuple(found)


def _loud(spectrum: FloatArray) -> Array:
    """Whether each frame of attention is louder than what lies between words."""
    whole = len(spectrum) // _FRAMES * _FRAMES
    if not whole:
        return np.ones(1, bool)
    power = (10.0 ** (_LOG_POWER * spectrum[:whole])).sum(axis=1)
    level = np.log10(power).reshape(-1, _FRAMES).max(axis=1)
    peak, floor = np.percentile(level, [95, 5])
    threshold = max(peak - _SOFT, floor + _LOW * (peak - floor))
    found: Array = level >= threshold
    return found
