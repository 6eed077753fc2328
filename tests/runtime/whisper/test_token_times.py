"""The way through weights of attention that goes forward in tokens and in time."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.arrays import FloatArray
from quantkit.runtime.whisper.token_times import token_frames


def attention(begins: list[int], frames: int, noise: float = 0.0, heads: int = 3) -> FloatArray:
    """Weights of rows that look at the frames from their beginning to that of the next."""
    random = np.random.default_rng(0)
    weights = noise * random.random((heads, len(begins), frames))
    for row, (begin, end) in enumerate(zip(begins, [*begins[1:], frames], strict=True)):
        weights[:, row, begin:end] += 1.0
    return weights / weights.sum(axis=2, keepdims=True)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_each_row_begins_where_its_weight_does(noise: float) -> None:
    begins = [0, 13, 40, 41 + 9, 90]
    found = token_frames(attention(begins, 120, noise))
    np.testing.assert_allclose(found, begins, atol=2)


def test_what_all_rows_look_at_does_not_count() -> None:
    weights = attention([0, 20, 40], 60)
    weights[:, :, 0] += 50.0
    np.testing.assert_allclose(token_frames(weights), [0, 20, 40], atol=2)


def test_they_never_go_back() -> None:
    weights = np.random.default_rng(1).random((2, 12, 30))
    found = token_frames(weights)
    assert (np.diff(found) >= 0).all()
    assert found[0] == 0


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_there_may_be_fewer_frames_than_tokens(frames: int) -> None:
    found = token_frames(np.random.default_rng(2).random((2, 8, frames)))
    assert found.shape == (8,)
    assert found.max() < frames
