"""Ranges from streams: exact, bounded, and blind to the order of the clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.calibration.ranges import MinMax, Moments, Percentile, Range, tracker
from quantkit.errors import InputError


def test_minmax_holds_every_value_and_zero() -> None:
    ranges = MinMax()
    for values in ([3.0, 5.0], [], [-1.5], [4.0]):
        ranges.update(np.array(values, np.float32))
    assert ranges.result() == Range(-1.5, 5.0)
    positive = MinMax()
    positive.update(np.array([2.0, 3.0], np.float32))
    assert positive.result() == Range(0.0, 3.0)


def test_tracker_that_saw_nothing_gives_an_empty_range() -> None:
    assert tracker("min-max").result() == Range(0.0, 0.0)
    assert tracker("percentile 99").result() == Range(0.0, 0.0)


def test_percentile_agrees_with_numpy_on_all_values_at_once() -> None:
    random = np.random.default_rng(0)
    clips = [random.standard_normal(n).astype(np.float32) for n in (10_000, 300, 50_000)]
    ranges = Percentile(99.0)
    for clip in clips:
        ranges.update(clip)
    low, high = np.percentile(np.concatenate(clips), [0.5, 99.5])
    assert ranges.result().lowest == pytest.approx(low, abs=0.02)
    assert ranges.result().highest == pytest.approx(high, abs=0.02)


def test_outliers_are_left_out() -> None:
    ranges = Percentile(99.9)
    ranges.update(np.linspace(0, 1, 100_000, dtype=np.float32))
    ranges.update(np.array([1e6], np.float32))
    # The one outlier makes the bins coarse (256 wide), but it is cut off all the same.
    assert ranges.result().highest <= 512
    assert tracker("min-max").__class__ is MinMax


def test_range_never_passes_the_true_extremes() -> None:
    ranges = Percentile(100.0)
    ranges.update(np.array([-0.3, 0.7], np.float32))
    assert ranges.result() == Range(float(np.float32(-0.3)), float(np.float32(0.7)))


def test_memory_stays_the_same_however_far_values_spread() -> None:
    ranges = Percentile(99.0)
    for exponent in range(-30, 38, 2):
        ranges.update(np.array([10.0**exponent, -(10.0**exponent)], np.float32))
    assert ranges.histogram.counts.size <= 4096
    assert ranges.histogram.counts.sum() == 68


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
def test_order_of_clips_does_not_matter(clips, random) -> None:
    def result(order) -> Range:
        ranges = Percentile(90.0)
        for clip in order:
            ranges.update(clip)
        assert ranges.histogram.counts.sum() == sum(clip.size for clip in order)
        return ranges.result()

    shuffled = clips[:]
    random.shuffle(shuffled)
    assert result(clips) == result(shuffled)


@pytest.mark.parametrize("label", ["minmax", "percentile", "percentile x", "percentile 50", "100"])
def test_range_that_does_not_exist(label: str) -> None:
    with pytest.raises(InputError, match=r"unknown range|percentile must be"):
        tracker(label)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_moments_are_those_of_each_channel_over_all_clips(axis: int) -> None:
    random = np.random.default_rng(0)
    clips = [random.standard_normal((3, 3, 3)).astype(np.float32) * k for k in (1, 5, 0.1)]
    moment = Moments(axis)
    assert moment.mean() is moment.mean_square() is None
    for clip in clips:
        moment.update(clip)
    together = np.moveaxis(np.stack(clips), (axis + 1) if axis >= 0 else axis, 0).reshape(3, -1)
    np.testing.assert_allclose(moment.mean(), together.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(moment.mean_square(), np.square(together).mean(axis=1), rtol=1e-5)
