"""Models on clips that are computed in windows."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.arrays import FloatArray
from quantkit.runtime.long_clips import LongClips

STEPS = 100.0


class Convolution:
    """Means of ``2 * reach + 1`` steps around every ``stride``-th, zero outside the clip."""

    def __init__(self, stride: int, reach: int) -> None:
        self.stride, self.reach = stride, reach
        self.longest = 0

    def __call__(self, clip: FloatArray) -> FloatArray:
        self.longest = max(self.longest, len(clip))
        padded = np.pad(clip[:, 0], self.reach)
        seen = np.lib.stride_tricks.sliding_window_view(padded, 2 * self.reach + 1)
        return np.asarray(seen.mean(axis=1)[:: self.stride, None], np.float32)


def clip(seconds: float) -> FloatArray:
    steps = round(seconds * STEPS)
    return np.random.default_rng(0).standard_normal((steps, 1)).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("seconds", [40.0, 40.01, 77.7, 301.23])
@pytest.mark.parametrize("block", [400, 6_543, 10**9])
def test_what_sees_no_further_than_the_context_gives_the_rows_of_the_whole_clip(
    stride: int, seconds: float, block: int
) -> None:
    model = Convolution(stride, reach=500)
    whole = clip(seconds)
    expected = model(whole)
    model.longest = 0
    blocks = (whole[start : start + block] for start in range(0, len(whole), block))
    found = LongClips(model, STEPS).rows(blocks)
    np.testing.assert_array_equal(found, expected)
    assert model.longest <= 5_000


def test_rows_that_do_not_follow_evenly_are_computed_at_once() -> None:
    def pooled(steps: FloatArray) -> FloatArray:
        return np.repeat(steps.mean(axis=0, keepdims=True), 7, axis=0)

    whole = clip(100.0)
    np.testing.assert_array_equal(LongClips(pooled, STEPS).rows([whole]), pooled(whole))
