"""A mean over clips says how sure it is, also where a few clips make up most of it."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.sensitivity.estimate import FEWEST_CLIPS, Estimate, estimated


def test_each_frame_counts_the_same() -> None:
    assert estimated([1.0, 5.0], [1, 3]) == Estimate(6 / 4)


def test_a_few_clips_say_nothing_of_others() -> None:
    random = np.random.default_rng(0)
    sums = list(random.random(FEWEST_CLIPS))
    frames = [1] * FEWEST_CLIPS
    assert estimated(sums[:-1], frames[:-1]).interval is None
    assert estimated(sums, frames).interval is not None


def test_the_same_clips_give_the_same_interval() -> None:
    sums = list(np.random.default_rng(1).random(20))
    assert estimated(sums, [1] * 20) == estimated(sums, [1] * 20)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_clips_that_are_all_alike_leave_nothing_to_estimate(value: float) -> None:
    assert estimated([value] * 10, [1] * 10).mean == pytest.approx(value)
    interval = estimated([value] * 10, [1] * 10).interval
    assert interval is None or interval == pytest.approx((value, value))


def test_a_model_that_rounding_makes_better_than_itself_diverges_by_nothing() -> None:
    assert estimated([-1e-9] * 10, [1] * 10) == Estimate(0.0)
