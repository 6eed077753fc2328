"""Windows that end behind the clip: how much of them is computed, and when that was too little.

Whisper was trained on windows of 30 seconds, with silence behind a shorter clip. Its encoder takes
fewer frames, with as many of its positions, and computes so much less. The shorter the window, the
more its posteriors differ, and the more often the decoder does not find the end and says the last
words again, or ends early. So no window is shorter than :data:`SHORTEST_SECONDS`, and a text that
looks like that is thrown away, and the whole window is heard instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quantkit.arrays import FloatArray
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import InputError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.text.decoding import WHOLE, checked_window

#: Of the entry in :attr:`~quantkit.graph.info.ArtifactInfo.extra`.
WINDOW = "window"

#: What is computed of a window, at least: ``python -m benchmarks.whisper_window``.
SHORTEST_SECONDS = 12.0

# Texts of a cut window that are less likely are thrown away: a whole one is at hand.
LOWEST_MEAN_LOG_PROB = -0.5
# In a second without pauses, people say 2.2 to 5 tokens, on two corpora; what ended early or left
# out a sentence had 0.5 to 1.8.
_FEWEST_TOKENS_PER_SECOND = 2.0
# A frame whose loudest band is so much softer than the loudest of all, four decades of power, is a
# pause.
_PAUSE = 1.0
# Tokens that are said again before it is called a repetition; shorter ones are said twice by
# people, too.
_REPEATED_TOKENS = 5


def window_of(info: ArtifactInfo) -> float:
    """Seconds of silence behind a clip that an artifact is made for; infinite without a word.

    Raises:
        ModelError: the entry is no such number.
    """
    text = info.extra.get(WINDOW, "")
    try:
        return checked_window(float(text)) if text else WHOLE
    except (ValueError, InputError) as error:
        raise ModelError(
            f"the metadata are damaged: `quantkit.{WINDOW}` is {text!r}, no number of seconds"
        ) from error


def with_window(info: ArtifactInfo, seconds: float) -> ArtifactInfo:
    """``info`` of an artifact that is made for so much silence behind a clip.

    Raises:
        InputError: seconds below 0, or none.
    """
    extra = {name: value for name, value in info.extra.items() if name != WINDOW}
    if checked_window(seconds) < WHOLE:
        extra[WINDOW] = f"{seconds:g}"
    return replace(info, extra=extra)


def frames_computed(frontend: WhisperFrontend, frames: int, silence: float) -> int:
    """Frames of a window that holds so many of a clip, and of :data:`SHORTEST_SECONDS` at least.

    An even number, because a position stands for two.

    Args:
        frames: of the clip.
        silence: seconds behind it, :data:`~quantkit.text.decoding.WHOLE` for a whole window.
    """
    whole = frontend.window_frames
    if silence >= frontend.window_seconds:
        return whole
    wanted = frames + round(silence * frontend.sample_rate / frontend.hop)
    wanted = max(wanted, frontend.frames_of(round(SHORTEST_SECONDS * frontend.sample_rate)))
    return min(whole, wanted + wanted % 2)


def ends_early(tokens: Sequence[int], frontend: WhisperFrontend, speech: FloatArray) -> bool:
    """Whether a text is too short for what can be heard.

    Args:
        speech: (frames, mel_bands) of the clip, without silence behind it.
    """
    loudest = speech.max(axis=1)
    audible = frontend.seconds_of(int((loudest >= loudest.max() - _PAUSE).sum()))
    return len(tokens) < _FEWEST_TOKENS_PER_SECOND * audible


def repeats_itself(tokens: Sequence[int]) -> bool:
    """Whether the last tokens are what was said immediately before.

    >>> repeats_itself([7, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5])
    True
    >>> repeats_itself([7, 1, 2, 1, 2])
    False
    """
    for period in range(1, len(tokens) // 2 + 1):
        again = max(period, _REPEATED_TOKENS)
        if len(tokens) < period + again:
            break
        if tokens[-again:] == tokens[-again - period : -period]:
            return True
    return False
