"""Evenly spaced levels and the search for scales."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.base import Weight
from quantkit.codecs.bitplane import Bitplane
from quantkit.codecs.codebook import Codebook
from quantkit.codecs.grouped import Grouped
from quantkit.codecs.native import Native
from quantkit.codecs.plain import Float32, Int8, Int16
from quantkit.codecs.uniform import (
    EvenlySpaced,
    UniformGrid,
    channel_blocks,
    default_grid,
    fit_uniform,
)
from quantkit.errors import InputError

GRIDS = [("mid-tread", bits) for bits in range(2, 9)] + [("midrise", bits) for bits in range(1, 8)]


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def squared_error(weight: Weight, levels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    values = np.moveaxis(weight.values, weight.axis, 0).astype(np.float64)
    levels = np.moveaxis(levels, weight.axis, 0)
    importance = 1.0 if weight.importance is None else weight.importance
    importance = np.broadcast_to(importance, weight.values.shape)
    error = values - levels * scale.reshape(-1, *[1] * (values.ndim - 1))
    error = np.moveaxis(importance, weight.axis, 0) * error**2
    return error.reshape(len(values), -1).sum(axis=1)


@pytest.mark.parametrize(("name", "bits"), GRIDS)
def test_a_grid_has_two_to_the_bits_levels_in_int8(name, bits):
    grid = UniformGrid.of(name, bits)
    levels = range(grid.lowest, grid.highest + 1, grid.step)
    assert len(levels) == 2**bits
    assert -128 <= levels[0] < levels[-1] <= 127
    assert (0 in levels) == (name == "mid-tread")


@pytest.mark.parametrize(
    ("name", "bits"),
    [("mid-tread", 1), ("mid-tread", 9), ("midrise", 0), ("midrise", 8), ("log", 4)],
)
def test_a_grid_that_does_not_exist_is_refused(name, bits):
    with pytest.raises(InputError, match=f"no {name} grid of {bits} bits"):
        UniformGrid.of(name, bits)


@pytest.mark.parametrize(("name", "bits"), GRIDS)
def test_every_ratio_goes_to_the_nearest_level(name, bits):
    grid = UniformGrid.of(name, bits)
    levels = np.arange(grid.lowest, grid.highest + 1, grid.step)
    ratios = normal((500,)) * grid.highest
    nearest = levels[np.abs(ratios[:, None] - levels).argmin(axis=1)]
    np.testing.assert_array_equal(grid.nearest(ratios), nearest)


def test_only_one_bit_is_midrise_by_default():
    assert [default_grid(bits) for bits in range(1, 9)] == ["midrise"] + ["mid-tread"] * 7


@pytest.mark.parametrize(("name", "bits"), GRIDS)
def test_levels_are_nearest_to_the_weights(name, bits):
    weight = Weight(normal((5, 7, 3)), 1)
    grid = UniformGrid.of(name, bits)
    levels, scale = fit_uniform(weight, grid)
    assert levels.dtype == np.int8
    np.testing.assert_array_equal(levels, grid.nearest(weight.values / scale[:, None]))


@pytest.mark.parametrize(("name", "bits"), GRIDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_no_scale_of_a_thousand_is_noticeably_better(name, bits, weighted):
    importance = np.random.default_rng(1).uniform(0.1, 3, (1, 400)).astype(np.float32)
    weight = Weight(normal((6, 400)), 0, importance if weighted else None)
    grid = UniformGrid.of(name, bits)
    found = squared_error(weight, *fit_uniform(weight, grid))
    widest = np.abs(weight.values).max(axis=1) / grid.highest
    best = np.full(6, np.inf)
    for share in np.linspace(0.1, 1, 1000):
        levels = grid.nearest(weight.values / (share * widest[:, None]).astype(np.float32))
        best = np.minimum(best, squared_error(weight, levels, share * widest))
    # With many levels on few weights, a lucky scale among so many gains a little more.
    assert (found <= best * (1.02 if bits < 7 else 1.1)).all()


@given(
    bits=st.integers(2, 8),
    shape=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    power=st.integers(-100, 120),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_never_worse_than_the_range(bits, shape, power, seed):
    weight = Weight(np.ldexp(normal(tuple(shape), seed), power).astype(np.float32), 0)
    grid = UniformGrid.of("mid-tread", bits)
    levels, scale = fit_uniform(weight, grid)
    assert np.isfinite(scale).all()
    assert (scale > 0).all()
    matrix = weight.values.reshape(shape[0], -1).astype(np.float64)
    widest = np.abs(matrix).max(axis=1, keepdims=True) / grid.highest
    by_range = ((grid.nearest(matrix / widest) * widest - matrix) ** 2).sum(axis=1)
    slack = 1e-10 * (matrix**2).sum(axis=1)
    assert (squared_error(weight, levels, scale) <= by_range * (1 + 1e-4) + slack).all()


def test_the_error_falls_with_bits():
    weight = Weight(normal((4, 300)), 0)
    errors = [
        squared_error(weight, *fit_uniform(weight, UniformGrid.of(default_grid(bits), bits))).sum()
        for bits in range(1, 9)
    ]
    assert all(more < less / 2 for less, more in pairwise(errors))


def test_important_weights_get_the_smaller_error():
    values = normal((3, 400))
    importance = np.where(np.arange(400) < 200, 1, 1e-3).astype(np.float32)
    grid = UniformGrid.of("mid-tread", 3)
    values[:, 200:] *= 4
    plain = fit_uniform(Weight(values, 0), grid)
    weighted = fit_uniform(Weight(values, 0, importance), grid)
    important = Weight(values, 0, importance)
    assert (squared_error(important, *weighted) < 0.7 * squared_error(important, *plain)).all()


def test_channels_are_fitted_alone_along_any_axis():
    values = normal((4, 6, 5))
    grid = UniformGrid.of("mid-tread", 4)
    for axis in range(3):
        first = np.moveaxis(values, axis, 0)
        levels, scale = fit_uniform(Weight(values, axis), grid)
        for channel in range(len(first)):
            alone = fit_uniform(Weight(first[channel : channel + 1], 0), grid)
            np.testing.assert_array_equal(np.moveaxis(levels, axis, 0)[channel], alone[0][0])
            assert scale[channel] == alone[1][0]


@pytest.mark.parametrize("name", ["mid-tread", "midrise"])
def test_a_channel_of_zeros_stays_as_good_as_zero(name):
    values = normal((3, 40))
    values[1] = 0
    levels, scale = fit_uniform(Weight(values, 0), UniformGrid.of(name, 3))
    assert (scale > 0).all()
    assert np.abs(levels[1] * scale[1]).max() < 1e-6 * np.abs(values).max()


def test_a_weight_of_zeros_has_positive_scales():
    levels, scale = fit_uniform(Weight(np.zeros((3, 4), np.float32), 0), UniformGrid(-7, 7))
    assert (levels == 0).all()
    assert (scale > 0).all()


def test_a_channel_of_one_magnitude_has_no_error():
    values = np.float32(0.3) * np.sign(normal((2, 30)))
    levels, scale = fit_uniform(Weight(values, 0), UniformGrid.of("midrise", 1))
    np.testing.assert_allclose(levels * scale[:, None], values, rtol=1e-6)


def test_channels_that_no_input_reached_are_fitted_all_the_same():
    values = normal((2, 50))
    grid = UniformGrid.of("mid-tread", 4)
    unheard = fit_uniform(Weight(values, 0, np.zeros(50, np.float32)), grid)
    plain = fit_uniform(Weight(values, 0), grid)
    np.testing.assert_array_equal(unheard[0], plain[0])
    np.testing.assert_allclose(unheard[1], plain[1], rtol=1e-6)


@pytest.mark.parametrize("magnitude", [1e-45, 1e-39, 1e-30, 1e30, 3e38])
def test_huge_and_tiny_weights_have_finite_scales(magnitude):
    values = (np.linspace(-1, 1, 40) * magnitude).astype(np.float32).reshape(2, 20)
    levels, scale = fit_uniform(Weight(values, 0), UniformGrid(-127, 127))
    assert np.isfinite(scale).all()
    assert (scale >= np.finfo(np.float32).tiny).all()
    if magnitude >= 1e-30:
        np.testing.assert_allclose(levels * scale[:, None], values, atol=magnitude / 200)


@pytest.mark.parametrize(("shape", "axis"), [((0,), 0), ((0, 3), 0), ((0, 3), 1), ((3, 0), 0)])
def test_an_empty_weight_has_a_scale_per_channel(shape, axis):
    levels, scale = fit_uniform(Weight(np.zeros(shape, np.float32), axis), UniformGrid(-7, 7))
    assert levels.shape == shape
    assert scale.shape == (shape[axis],)


def test_wide_grids_give_int16():
    levels, _ = fit_uniform(Weight(normal((2, 50)), 0), UniformGrid(-32767, 32767))
    assert levels.dtype == np.int16
    assert np.abs(levels).max() > 20000


def test_channel_blocks_cover_the_weight_in_order():
    values = normal((3, 50, 200))
    importance = normal((50, 1))
    seen = 0
    for block, matrix, weights in channel_blocks(Weight(values, 1, importance)):
        assert block.start == seen
        seen = block.stop
        np.testing.assert_array_equal(matrix, np.moveaxis(values, 1, 0)[block].reshape(-1, 600))
        expected = np.broadcast_to(importance[block], (block.stop - block.start, 600))
        np.testing.assert_array_equal(weights, expected)
    assert seen == 50


@pytest.mark.parametrize(("name", "bits"), GRIDS)
def test_unclipped_step_is_the_least_that_clips_nothing(name, bits):
    values = normal((6, 50)) + np.linspace(-3, 3, 6, dtype=np.float32)[:, None]
    grid = UniformGrid.of(name, bits)
    steps = grid.unclipped_step(values)
    ratios = values / steps[:, None]
    assert ratios.max() <= grid.highest * 1.000001
    assert ratios.min() >= grid.lowest * 1.000001
    reached = np.maximum(ratios.max(axis=1) / grid.highest, ratios.min(axis=1) / grid.lowest)
    np.testing.assert_allclose(reached, 1, rtol=1e-6)


@pytest.mark.parametrize(("name", "bits"), GRIDS)
def test_steps_found_elsewhere_are_the_scales(name, bits):
    values = normal((7, 5, 3))
    values[:, 2] = 0
    steps = np.linspace(0.1, 0.5, 5, dtype=np.float32)
    grid = UniformGrid.of(name, bits)
    levels, scale = fit_uniform(Weight(values, 1, scale=steps), grid)
    kept = [0, 1, 3, 4]
    np.testing.assert_array_equal(scale[kept], steps[kept])
    # A channel of zeros has a scale that vanishes, whatever was found.
    assert 0 < scale[2] < 1e-6
    nearest = grid.nearest(values / scale[:, None])
    np.testing.assert_array_equal(levels, nearest)


@pytest.mark.parametrize("codec", [Bitplane(3), Bitplane(1), Native(4), Int8(), Int16()])
def test_codecs_with_even_spacing_take_steps_found_elsewhere(codec):
    assert isinstance(codec, EvenlySpaced)
    weight = Weight(normal((4, 30)), 0, scale=np.full(4, 0.3, np.float32))
    encoded = codec.encode(weight)
    np.testing.assert_array_equal(encoded.scale, weight.scale)
    np.testing.assert_array_equal(encoded.levels, codec.spacing.nearest(weight.values / 0.3))


@pytest.mark.parametrize("codec", [Grouped(3), Codebook(3), Float32()])
def test_codecs_with_tables_have_no_use_for_steps(codec):
    assert not isinstance(codec, EvenlySpaced)
    values = normal((4, 32))
    with_steps = codec.encode(Weight(values, 0, scale=np.full(4, 0.3, np.float32)))
    assert with_steps.packed == codec.encode(Weight(values, 0)).packed
