"""Resampling in a stream leaves no edges between the pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.audio.resampler import Resampler
from quantkit.audio.samples import resampled

NOISE = np.random.default_rng(0).normal(0.0, 0.1, 9_000).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from([8_000, 11_025, 22_050, 44_100, 48_000, 96_000]),
    length=st.integers(0, 9_000),
    places=st.lists(st.integers(0, 9_000), max_size=10),
)
def test_pieces_give_what_the_whole_clip_gives(rate: int, length: int, places: list[int]) -> None:
    clip = NOISE[:length]
    stream = Resampler(rate, 16_000)
    pieces = np.split(clip, sorted(place for place in places if place <= length))
    found = np.concatenate([*map(stream.accept, pieces), stream.finish()])
    whole = Resampler(rate, 16_000)
    np.testing.assert_array_equal(found, np.concatenate((whole.accept(clip), whole.finish())))
    expected = resampled(clip, rate, 16_000)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_same_rate_is_passed_through() -> None:
    stream = Resampler(16_000, 16_000)
    assert stream.accept(NOISE) is NOISE
    assert not stream.finish().size


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_what_is_known_comes_soon(rate: int) -> None:
    """No more than 100 ms behind what went in."""
    stream = Resampler(rate, 16_000)
    made = sum(
        stream.accept(NOISE[start : start + 80]).size for start in range(0, len(NOISE) - 80, 80)
    )
    assert made / 16_000 > (len(NOISE) - 160) / rate - 0.1
