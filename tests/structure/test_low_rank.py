"""Halves of lower rank lose the least that is possible, and share out evenly what they keep."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.structure.low_rank import (
    Covariance,
    Spectrum,
    even_rotation,
    low_input_rank,
    low_rank,
    stand_in,
)


@pytest.fixture
def seen() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A weight (12, 20), inputs (500, 20) of unequal powers around 0.3, and its outputs."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((12, 20)).astype(np.float32)
    inputs = random.standard_normal((500, 20)) * np.exp(-np.arange(20) / 4) + 0.3
    return weight, inputs, inputs @ weight.T.astype(np.float64)


def moments(values: np.ndarray) -> Covariance:
    mean = values.mean(axis=0)
    return Covariance(mean, (values - mean).T @ (values - mean) / len(values))


def test_the_error_is_what_the_other_components_hold(seen) -> None:
    weight, inputs, outputs = seen
    halves = low_rank(weight, Spectrum.of(moments(outputs)), 5)
    made = inputs @ halves.product.T.astype(np.float64) + halves.shift
    error = np.square(made - outputs).sum() / np.square(outputs - outputs.mean(axis=0)).sum()
    assert error == pytest.approx(halves.lost, rel=1e-4)
    assert 0.0 < halves.lost < 0.1


def test_rank_0_is_the_mean_alone(seen) -> None:
    weight, _, outputs = seen
    halves = low_rank(weight, Spectrum.of(moments(outputs)), 0)
    assert not halves.product.any()
    np.testing.assert_allclose(halves.shift, outputs.mean(axis=0), rtol=1e-5)
    assert halves.lost == 1.0


def test_no_other_layer_of_that_rank_errs_less(seen) -> None:
    weight, inputs, outputs = seen
    halves = low_rank(weight, Spectrum.of(moments(outputs)), 5)
    best = np.square(inputs @ halves.product.T.astype(np.float64) + halves.shift - outputs).sum()
    left, values, right = np.linalg.svd(weight)
    plain = (left[:, :5] * values[:5]) @ right[:5]
    # With the best bias for it.
    error = inputs @ plain.T.astype(np.float64) - outputs
    assert best < 0.9 * np.square(error - error.mean(axis=0)).sum()


def test_the_mean_is_kept_exactly(seen) -> None:
    weight, inputs, outputs = seen
    halves = low_rank(weight, Spectrum.of(moments(outputs)), 2)
    made = inputs @ halves.product.T.astype(np.float64) + halves.shift
    np.testing.assert_allclose(made.mean(axis=0), outputs.mean(axis=0), atol=1e-5)


def test_of_a_layer_with_fewer_inputs_than_outputs_both_ways_find_the_same() -> None:
    random = np.random.default_rng(1)
    weight = random.standard_normal((30, 8)).astype(np.float32)
    inputs = random.standard_normal((400, 8)) * np.arange(1, 9) + 1.0
    one = Spectrum.of(moments(inputs @ weight.T.astype(np.float64)))
    other = Spectrum.through(weight, moments(inputs))
    np.testing.assert_allclose(other.mean, one.mean, rtol=1e-6)
    np.testing.assert_allclose(other.variances, one.variances[:8], rtol=1e-6)
    for rank in (1, 4):
        np.testing.assert_allclose(
            low_rank(weight, other, rank).product, low_rank(weight, one, rank).product, atol=1e-4
        )


def test_channels_that_nothing_reaches_leave_finite_halves() -> None:
    weight = np.ones((4, 6), np.float32)
    halves = low_rank(weight, Spectrum.of(Covariance(np.zeros(4), np.zeros((4, 4)))), 2)
    assert np.isfinite(halves.product).all()
    assert halves.lost == 0.0
    through = Spectrum.through(weight[:, :3], Covariance(np.zeros(3), np.zeros((3, 3))))
    assert np.isfinite(low_rank(weight[:, :3], through, 2).product).all()


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_a_rotation_gives_all_channels_the_same_variance(count: int) -> None:
    variances = np.exp(-np.arange(count) / 3.0)
    rotation = even_rotation(variances)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(count), atol=1e-12)
    after = ((rotation * variances) @ rotation.T).diagonal()
    np.testing.assert_allclose(after, variances.mean(), rtol=1e-9)


def test_channels_between_the_halves_vary_alike(seen) -> None:
    weight, inputs, outputs = seen
    halves = low_rank(weight, Spectrum.of(moments(outputs)), 6)
    powers = (inputs @ halves.reduce.T.astype(np.float64)).var(axis=0)
    np.testing.assert_allclose(powers, powers.mean(), rtol=1e-3)


def taps_of(weight: np.ndarray, inputs: np.ndarray, taps: int) -> np.ndarray:
    """(positions, outputs): a convolution of inputs (positions, channels), without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(inputs, taps, axis=0)
    return windows.reshape(len(windows), -1) @ weight.T.astype(np.float64)


def test_a_layer_behind_fewer_channels_loses_what_the_others_hold() -> None:
    random = np.random.default_rng(2)
    weight = random.standard_normal((24, 10 * 5)).astype(np.float32)
    inputs = random.standard_normal((4000, 10)) * np.exp(-np.arange(10) / 2) + 0.2
    halves = low_input_rank(weight, moments(inputs), 6)
    assert halves.reduce.shape == (6, 10)
    assert halves.expand.shape == (24, 6 * 5)
    fewer = inputs @ halves.reduce.T.astype(np.float64)
    outputs = taps_of(weight, inputs, 5)
    made = taps_of(halves.expand, fewer, 5) + halves.shift
    error = np.square(made - outputs).sum() / np.square(outputs - outputs.mean(axis=0)).sum()
    # The channels of this input are independent from position to position, as is assumed.
    assert error == pytest.approx(halves.lost, rel=0.1)
    assert 0.0 < error < 0.1
    np.testing.assert_allclose(made.mean(axis=0), outputs.mean(axis=0), atol=1e-2)
    np.testing.assert_allclose(fewer.var(axis=0), fewer.var(axis=0).mean(), rtol=1e-3)


def test_all_channels_are_kept_as_they_were_where_none_is_left_out() -> None:
    random = np.random.default_rng(4)
    weight = random.standard_normal((7, 6 * 3)).astype(np.float32)
    inputs = random.standard_normal((300, 6))
    halves = low_input_rank(weight, moments(inputs), 6)
    made = taps_of(halves.expand, inputs @ halves.reduce.T.astype(np.float64), 3)
    np.testing.assert_allclose(made, taps_of(weight, inputs, 3), atol=1e-4)
    assert halves.lost == pytest.approx(0.0, abs=1e-9)


def test_stand_ins_have_the_shapes_and_no_two_equal_tensors() -> None:
    one, other = (stand_in((3, 20), (8, 3), name) for name in ("one", "other"))
    assert (one.reduce.shape, one.expand.shape, one.shift.shape) == ((3, 20), (8, 3), (8,))
    assert not np.array_equal(one.shift, other.shift)
