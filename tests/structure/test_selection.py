"""Which channels are kept, and what becomes of the layer that reads them."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.structure.low_rank import Covariance
from quantkit.structure.selection import Selection

RANDOM = np.random.default_rng(5)


def seen(channels: np.ndarray, *, centred: bool = True) -> Covariance:
    """Of (channels, positions)."""
    mean = channels.mean(axis=1) if centred else np.zeros(len(channels))
    about_zero = channels @ channels.T / channels.shape[1]
    return Covariance(mean, about_zero - np.outer(mean, mean))


def error_of(selection: Selection, count: int, weight: np.ndarray, x: np.ndarray) -> float:
    """Mean square of what the layer of one tap makes wrong."""
    fewer = selection.fewer(count)
    made = fewer.matrix @ x[fewer.kept] + fewer.shift[:, None]
    return float(np.square(made - weight @ x).mean())


def test_channels_that_follow_from_others_are_left_out_without_loss() -> None:
    base = RANDOM.standard_normal((6, 500))
    x = np.concatenate([base, RANDOM.standard_normal((4, 6)) @ base])
    weight = RANDOM.standard_normal((5, 10)).astype(np.float32)
    assert error_of(Selection(weight, seen(x)), 6, weight, x) < 1e-4
    assert error_of(Selection(weight, seen(x)), 5, weight, x) > 1e-2


def test_a_constant_channel_moves_into_the_bias() -> None:
    x = RANDOM.standard_normal((4, 500))
    x[2] = 3.0
    weight = RANDOM.standard_normal((5, 4)).astype(np.float32)
    fewer = Selection(weight, seen(x)).fewer(3)
    assert fewer.kept.tolist() == [0, 1, 3]
    np.testing.assert_allclose(fewer.shift, 3.0 * weight[:, 2], atol=0.05)


def test_about_zero_nothing_moves_into_the_bias() -> None:
    x = RANDOM.standard_normal((4, 500)) + 2.0
    weight = RANDOM.standard_normal((5, 4)).astype(np.float32)
    assert not Selection(weight, seen(x, centred=False)).fewer(2).shift.any()


def test_a_channel_that_the_layer_hardly_weighs_goes_first() -> None:
    x = RANDOM.standard_normal((5, 500)) * np.array([1, 1, 9, 1, 1])[:, None]
    weight = RANDOM.standard_normal((8, 5)).astype(np.float32)
    weight[:, 2] *= 0.001
    assert 2 not in Selection(weight, seen(x)).fewer(4).kept


def test_the_choice_is_better_than_that_of_the_largest_variances() -> None:
    mixed = RANDOM.standard_normal((24, 24)) @ RANDOM.standard_normal((24, 900))
    weight = (RANDOM.standard_normal((10, 24)) * np.linspace(0.1, 3, 24)).astype(np.float32)
    selection = Selection(weight, seen(mixed))
    chosen = error_of(selection, 12, weight, mixed)
    selection.__dict__["order"] = np.argsort(-mixed.var(axis=1))
    assert chosen < 0.8 * error_of(selection, 12, weight, mixed)


def test_of_fewer_channels_each_is_among_those_of_more() -> None:
    x = RANDOM.standard_normal((12, 12)) @ RANDOM.standard_normal((12, 400))
    selection = Selection(RANDOM.standard_normal((4, 12)).astype(np.float32), seen(x))
    assert sorted(selection.order.tolist()) == list(range(12))
    for count in range(1, 12):
        assert set(selection.fewer(count).kept) < set(selection.fewer(count + 1).kept)


def test_taps_of_a_channel_stay_together() -> None:
    x = RANDOM.standard_normal((3, 400))
    x[1] = 0.0
    weight = RANDOM.standard_normal((2, 3 * 4)).astype(np.float32)
    fewer = Selection(weight, seen(x)).fewer(2)
    np.testing.assert_allclose(fewer.matrix, weight[:, [0, 1, 2, 3, 8, 9, 10, 11]], atol=1e-4)
    np.testing.assert_allclose(fewer.on_all(3)[:, :4], weight[:, :4], atol=1e-4)
    assert not fewer.on_all(3)[:, 4:8].any()


@pytest.mark.parametrize("x", [np.zeros((4, 50)), np.ones((4, 50))])
def test_channels_that_never_change_can_all_go(x: np.ndarray) -> None:
    weight = RANDOM.standard_normal((3, 4)).astype(np.float32)
    assert error_of(Selection(weight, seen(x)), 1, weight, x) < 1e-6
