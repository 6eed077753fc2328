"""The range that keeps most information, on distributions where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.calibration.ranges import Entropy, Range


def entropy(*clips: np.ndarray, bits: int = 8) -> Range:
    tracker = Entropy(bits)
    for clip in clips:
        tracker.update(clip.astype(np.float32))
    return tracker.result()


def normal(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count)


def test_a_uniform_distribution_is_kept_whole() -> None:
    values = np.linspace(-1, 3, 400_001)
    assert entropy(values) == Range(-1.0, 3.0)
    assert entropy(values, bits=4) == Range(-1.0, 3.0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_far_outlier_is_clipped_at_its_own_end_only(sign: int) -> None:
    found = entropy(normal(200_000), sign * np.array([60.0]))
    ends = sorted((abs(found.lowest), abs(found.highest)))
    assert 3 < ends[0] <= ends[1] < 6


def test_fewer_levels_clip_more() -> None:
    values = normal(400_000)
    spans = [entropy(values, bits=bits) for bits in (8, 4, 3)]
    widths = [each.highest - each.lowest for each in spans]
    assert widths[0] > widths[1] > widths[2] > 2


def test_more_levels_than_bins_clip_nothing() -> None:
    values = normal(10_000).astype(np.float32)
    assert entropy(values, bits=16) == Range(float(values.min()), float(values.max()))


def test_what_a_relu_leaves_is_searched_at_the_upper_end_alone() -> None:
    values = np.maximum(normal(400_000), 0)
    found = entropy(values, bits=4)
    assert found.lowest == 0.0
    assert 2 < found.highest < values.max()


@pytest.mark.parametrize("count", [100, 1_000, 10_000])
def test_few_values_do_not_make_a_range_collapse(count: int) -> None:
    values = np.maximum(normal(count), 0)
    assert entropy(values).highest > 0.9 * values.max()


def test_zeros_change_nothing() -> None:
    values = np.maximum(normal(100_000), 0)
    assert entropy(values, bits=4) == entropy(values, np.zeros(10_000_000), bits=4)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Range(0.0, 0.0)),
        ([0.0, 0.0], Range(0.0, 0.0)),
        ([0.5], Range(0.0, 0.5)),
        ([-0.5, -0.5], Range(-0.5, 0.0)),
        ([-2.0, 1.0], Range(-2.0, 1.0)),
        ([1e-38, 0.0], Range(0.0, float(np.float32(1e-38)))),
        ([-3e38, 3e38], Range(float(np.float32(-3e38)), float(np.float32(3e38)))),
    ],
)
def test_hardly_any_values(values: list[float], expected: Range) -> None:
    assert entropy(np.array(values, np.float32)) == expected


@given(
    st.lists(
        st.lists(st.floats(-1e4, 1e4, width=32), max_size=20).map(
            lambda values: np.array(values, np.float32)
        ),
        min_size=1,
        max_size=6,
    ),
    st.randoms(),
)
def test_the_order_of_clips_does_not_matter_and_zero_is_held(clips, random) -> None:
    found = entropy(*clips, bits=3)
    shuffled = clips[:]
    random.shuffle(shuffled)
    assert entropy(*shuffled, bits=3) == found
    together = np.concatenate([*clips, np.zeros(1, np.float32)])
    assert together.min() <= found.lowest <= 0 <= found.highest <= together.max()
