"""Tokens by attention, without the pauses around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from quantkit.arrays import FloatArray
from quantkit.runtime.encoder_decoder.network import States
from quantkit.runtime.whisper.cross_attention import CrossAttention, Reading
from quantkit.runtime.whisper.timing import TokenTimer, spectrum_levels, waveform_levels

LOUD, SOFT = 0.5, -0.9


class Attending(CrossAttention):
    """Looks at the frames from one beginning to the next."""

    def __init__(self, *begins: int, frames: int = 1_500) -> None:
        self.begins, self.frames = begins, frames

    def read(self, encoded: States, prompt: Sequence[int], text: Sequence[int]) -> Reading:
        weights = np.full((2, len(self.begins), self.frames), 1e-3)
        ends = [*self.begins[1:], self.frames]
        for row, (begin, end) in enumerate(zip(self.begins, ends, strict=True)):
            weights[:, row, begin:end] = 1.0
        return Reading(np.arange(len(text)) * -0.5, weights)


def levels(*parts: tuple[float, float]) -> FloatArray:
    """Of a spectrum of parts of so many seconds at a level."""
    rows = [np.full((round(100 * seconds), 4), level) for seconds, level in parts]
    return spectrum_levels(np.concatenate(rows).astype(np.float32))


def test_each_token_lasts_until_the_next() -> None:
    timer = TokenTimer(Attending(0, 50, 75))
    one, two = timer({}, [1], [7, 8], levels((2.0, LOUD)))
    assert (one.token, one.start, one.end) == (7, 0.0, 1.0)
    assert (two.token, two.start, two.end) == (8, 1.0, 1.5)
    assert (one.log_prob, two.log_prob) == (0.0, -0.5)


def test_pauses_around_a_token_are_none_of_its_time() -> None:
    timer = TokenTimer(Attending(0, 50, 90))
    heard = levels((0.4, SOFT), (0.4, LOUD), (0.4, SOFT), (0.3, LOUD), (0.5, SOFT))
    one, two = timer({}, [1], [7, 8], heard)
    assert (one.start, one.end) == (0.4, 0.8)
    assert (two.start, two.end) == (1.2, 1.5)


def test_loudness_is_that_of_speech_above_the_noise() -> None:
    timer = TokenTimer(Attending(0, 100))
    # Twenty decibels are half a unit of such a spectrum.
    heard = levels((0.5, LOUD - 0.5), (0.5, LOUD), (0.5, LOUD - 0.5), (0.5, LOUD))
    (token,) = timer({}, [1], [7], heard)
    assert token.start == 0.5


def test_a_token_in_silence_keeps_its_place() -> None:
    timer = TokenTimer(Attending(0, 50, 75))
    one, two = timer({}, [1], [7, 8], levels((1.0, LOUD), (1.0, SOFT)))
    assert (one.end, two.start, two.end) == (1.0, 1.0, 1.5)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_clip_may_be_shorter_than_its_text(frames: int) -> None:
    timer = TokenTimer(Attending(0, 1, 2))
    tokens = timer({}, [1], [7, 8], spectrum_levels(np.zeros((frames, 4), np.float32)))
    assert all(0 <= each.start <= each.end <= 0.04 for each in tokens)


def test_no_text_has_no_times() -> None:
    assert TokenTimer(Attending(0))({}, [1], [], levels((1.0, LOUD))) == ()


def test_frames_of_another_encoder_have_their_own_length() -> None:
    timer = TokenTimer(Attending(0, 10, 15, frames=20), step=0.024, offset=0.016)
    one, two = timer({}, [1], [7, 8], np.zeros(20, np.float32))
    assert (one.start, one.end) == pytest.approx((0.016, 0.256))
    assert (two.start, two.end) == pytest.approx((0.256, 0.376))


def test_the_loudness_of_a_waveform_is_the_power_of_its_frames() -> None:
    waveform = np.concatenate([np.full(8, 0.1), np.zeros(8), np.full(4, 1.0)]).astype(np.float32)
    assert waveform_levels(waveform, 8) == pytest.approx([-2, -10, np.log10(0.5)])
    assert waveform_levels(waveform[:0], 8).size == 0
