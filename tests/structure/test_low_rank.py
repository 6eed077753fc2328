"""Halves of lower rank lose the least that is possible, and share out evenly what they keep."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.structure.low_rank import Covariance, Spectrum, even_rotation, low_rank, stand_in


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


def test_stand_ins_have_the_shapes_and_no_two_equal_tensors() -> None:
    one, other = stand_in(8, 20, 3), stand_in(8, 20, 4)
    assert (one.reduce.shape, one.expand.shape, one.shift.shape) == ((3, 20), (8, 3), (8,))
    assert not np.array_equal(one.shift, other.shift)
