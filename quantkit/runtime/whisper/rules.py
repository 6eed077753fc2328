"""Which tokens may come next (Radford et al. 2022, section 4.5, and its published code)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray
from quantkit.text.whisper_vocabulary import TIMESTAMP_STEP, WhisperVocabulary

# A text begins within its first second.
_LATEST_BEGINNING = 1.0
# Beyond this share of the probability, what is left is lost in rounding if it is subtracted.
_MOST_OF_IT = 0.5


@dataclass(frozen=True)
class Rules:
    """What is ruled out, given the tokens of a window so far.

    1. Tokens that write no speech, those that steer the decoder, and outputs without a token,
       never.
    2. At the beginning, no silence and no end.
    3. Without timestamps, no timestamp.
    4. With timestamps: they come in pairs, but for the one before the end and the first; they
       never go back; the first one is early; and where all of them together are more likely than
       any text, the next token is one.

    Args:
        vocabulary: of the model.
        timestamps: whether times are wanted.
    """

    vocabulary: WhisperVocabulary
    timestamps: bool = False

    def apply(self, log_probs: FloatArray, text: Sequence[int]) -> FloatArray:
        """Normalised log-probabilities of the tokens that may follow.

        Args:
            log_probs: (vocabulary,) of the model, normalised.
            text: tokens of the window so far, without the prompt.

        Returns:
            (vocabulary,) with -inf for what is ruled out.
        """
        ruled_out = self._first if not text else self._always
        allowed = log_probs.copy()
        allowed[ruled_out] = -np.inf
        if self.timestamps:
            self._time(allowed, text)
            return allowed - _log_sum_exp(allowed)
        # Of the probabilities, which add up to 1, only the few that go need to be known.
        lost = float(np.exp(log_probs[ruled_out]).sum())
        left = np.log1p(-lost) if lost < _MOST_OF_IT else _log_sum_exp(allowed)
        return allowed - np.float32(left)

    @cached_property
    def _always(self) -> npt.NDArray[np.intp]:
        vocabulary = self.vocabulary
        # Of the tokens behind the end, a text without times has added words only.
        text = {*vocabulary.added, *(vocabulary.times if self.timestamps else ())}
        others = {*range(vocabulary.end + 1, vocabulary.size)} - text
        return np.array(sorted({*vocabulary.suppressed, *others}), np.intp)

    @cached_property
    def _first(self) -> npt.NDArray[np.intp]:
        first = {*self._always.tolist(), *self.vocabulary.suppressed_first}
        return np.array(sorted(first), np.intp)

    def _time(self, allowed: FloatArray, text: Sequence[int]) -> None:
        times, end = self.vocabulary.times, self.vocabulary.end
        first, behind = times.start, times.stop
        is_time = [token in times for token in text]
        if is_time[-1:] == [True]:
            if len(text) < 2 or is_time[-2]:
                # A segment has begun: text follows.
                allowed[first:behind] = -np.inf
            else:
                # A segment has ended: the next one begins, or nothing follows.
                allowed[:end] = -np.inf
                allowed[behind:] = -np.inf
        written = [token for token in text if token in times]
        if written:
            # The next segment may begin where the last one ended; no segment is empty.
            begins = is_time[-1] and len(text) > 1 and not is_time[-2]
            allowed[first : written[-1] + (0 if begins else 1)] = -np.inf
        if not text:
            allowed[:first] = -np.inf
            allowed[first + round(_LATEST_BEGINNING / TIMESTAMP_STEP) + 1 :] = -np.inf
        others = max(allowed[:first].max(), allowed[behind:].max(initial=-np.inf))
        if _log_sum_exp(allowed[first:behind]) > others:
            allowed[:first] = -np.inf
            allowed[behind:] = -np.inf


def _log_sum_exp(values: FloatArray) -> float:
    highest = float(values.max())
    if not np.isfinite(highest):
        return highest
    return highest + float(np.log(np.exp(values - highest).sum()))
