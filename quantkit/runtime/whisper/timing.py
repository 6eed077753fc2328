"""When the tokens of a window were said, and how sure the model is of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantkit.runtime.whisper.cross_attention import CrossAttention
from quantkit.runtime.whisper.network import States
from quantkit.runtime.whisper.token_times import token_frames
from quantkit.text.whisper_vocabulary import TIMESTAMP_STEP


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
        self, encoded: States, prompt: Sequence[int], text: Sequence[int], seconds: float
    ) -> tuple[TimedToken, ...]:
        """The times of a text.

        Args:
            encoded: the window that it was written from.
            prompt: that asks for it, without times.
            text: its tokens, without times.
            seconds: of the clip in the window; what lies behind was not said.
        """
        if not text:
            return ()
        reading = self._attention.read(encoded, prompt, text)
        # A frame of attention is as long as a step of the timestamps.
        frames = max(1, min(reading.weights.shape[2], round(seconds / TIMESTAMP_STEP)))
        begins = TIMESTAMP_STEP * token_frames(reading.weights[:, :, :frames])
        return tuple(
            TimedToken(token, float(start), float(end), float(log_prob))
            for token, start, end, log_prob in zip(
                text, begins[:-1], begins[1:], reading.log_probs, strict=True
            )
        )
