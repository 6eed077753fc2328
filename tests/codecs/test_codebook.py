"""Tables of levels for layers and channels, and ternary weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.base import Weight, stored_bytes
from quantkit.codecs.bitplane import Bitplane
from quantkit.codecs.codebook import Codebook, Ternary, normal_float
from quantkit.errors import InputError

CODECS = [Codebook(bits, table) for bits in range(1, 7) for table in ("k-means", "normal-float")]
CODECS += [Codebook(bits, scope="channel") for bits in range(1, 5)]
CODECS.append(Ternary())


def laplace(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).laplace(size=shape).astype(np.float32)


def error(codec, weight: Weight) -> float:
    importance = np.float64(1) if weight.importance is None else weight.importance
    difference = codec.encode(weight).dequantized().astype(np.float64) - weight.values
    return float((importance * difference**2).sum())


@pytest.mark.slow
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    codec=st.sampled_from(CODECS),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, codec, data, decoded):
    axis = data.draw(st.integers(0, len(shape) - 1))
    weight = Weight(laplace(tuple(shape)), axis)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, axis)
    assert encoded.scale.shape == (shape[axis],)
    assert (encoded.scale > 0).all()
    found = decoded(codec, weight, encoded)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, encoded.levels)


@pytest.mark.parametrize("bits", range(1, 7))
def test_a_codebook_takes_its_bits_and_one_table(bits):
    assert stored_bytes(Codebook(bits), (24, 10, 5), 0) == 24 * 10 * 5 * bits / 8 + 2**bits


@pytest.mark.parametrize("bits", range(1, 5))
@pytest.mark.parametrize("axis", [0, 1])
def test_a_codebook_of_channels_takes_its_bits_and_a_table_for_each(bits, axis):
    codec = Codebook(bits, scope="channel")
    assert stored_bytes(codec, (24, 40), axis) == 24 * 40 * bits / 8 + (24, 40)[axis] * 2**bits


def test_five_ternary_weights_take_a_byte():
    assert stored_bytes(Ternary(), (20, 11), 0) == 44
    assert stored_bytes(Ternary(), (3, 7), 0) == 5


@pytest.mark.parametrize(("bits", "share"), [(2, 0.9), (3, 0.75), (4, 0.65), (5, 0.6), (6, 0.6)])
def test_k_means_has_less_error_than_even_levels(bits, share):
    weight = Weight(laplace((64, 1024)), 0)
    assert error(Codebook(bits), weight) < share * error(Bitplane(bits), weight)


@pytest.mark.parametrize("codecs", [CODECS[0:12:2], CODECS[1:12:2], CODECS[12:16]])
def test_error_decreases_with_bits(codecs):
    weight = Weight(laplace((32, 512)), 0)
    errors = [error(codec, weight) for codec in codecs]
    assert errors == sorted(errors, reverse=True)


def skewed(shape: tuple[int, int]) -> np.ndarray:
    """Channels that are distributed differently: every other one leans to the other side."""
    sides = np.where(np.arange(shape[0]) % 2, 1, -1)[:, None]
    values = np.random.default_rng(0).exponential(size=shape) * sides
    return values.astype(np.float32)


@pytest.mark.parametrize(("bits", "share"), [(1, 0.4), (2, 0.4), (3, 0.6), (4, 0.7)])
def test_a_table_for_each_channel_has_less_error_where_channels_differ(bits, share):
    weight = Weight(skewed((64, 1024)), 0)
    assert error(Codebook(bits, scope="channel"), weight) < share * error(Codebook(bits), weight)


def test_a_channels_table_depends_on_no_other_channel():
    values = skewed((6, 300))
    together = Codebook(3, scope="channel").encode(Weight(values, 0))
    alone = Codebook(3, scope="channel").encode(Weight(values[2:3], 0))
    np.testing.assert_array_equal(together.levels[2:3], alone.levels)
    np.testing.assert_array_equal(together.scale[2:3], alone.scale)


def test_few_different_weights_of_each_channel_are_kept_but_for_rounding():
    choices = np.random.default_rng(0).laplace(size=(7, 8))
    picks = np.random.default_rng(1).integers(0, 8, (7, 400))
    values = np.take_along_axis(choices, picks, axis=1).astype(np.float32)
    found = Codebook(3, scope="channel").encode(Weight(values, 0)).dequantized()
    largest = np.abs(values).max(axis=1, keepdims=True)
    assert (np.abs(found - values) < largest / 127).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_it_does_not_matter_where_the_channels_are(axis):
    values = laplace((10, 6, 7))
    first = Codebook(2, scope="channel").encode(Weight(values, 0))
    moved = Codebook(2, scope="channel").encode(Weight(np.moveaxis(values, 0, axis), axis))
    np.testing.assert_array_equal(np.moveaxis(moved.levels, axis, 0), first.levels)
    assert moved.packed == first.packed


def test_ternary_weights_lie_between_binary_ones_and_those_of_two_bits():
    weight = Weight(laplace((32, 512)), 0)
    errors = [error(codec, weight) for codec in (Codebook(1), Ternary(), Codebook(2))]
    assert errors == sorted(errors, reverse=True)


def test_few_different_weights_are_kept_but_for_rounding():
    values = np.random.default_rng(0).choice([-0.3, -0.1, 0.05, 0.8], (1, 400)).astype(np.float32)
    found = Codebook(2).encode(Weight(values, 0)).dequantized()
    np.testing.assert_allclose(found, values, atol=0.8 / 127)


def test_ternary_weights_of_one_magnitude_are_kept():
    values = np.random.default_rng(0).choice([-0.3, 0, 0.3], (5, 40)).astype(np.float32)
    encoded = Ternary().encode(Weight(values, 0))
    np.testing.assert_allclose(encoded.dequantized(), values, rtol=1e-6)


@pytest.mark.parametrize("scope", ["layer", "channel"])
def test_important_weights_have_less_error(scope):
    codec = Codebook(2, scope=scope)
    importance = np.where(np.arange(512) % 8, 1, 100).astype(np.float32)
    values = laplace((64, 512)) * np.where(importance > 1, 3, 1).astype(np.float32)
    difference = codec.encode(Weight(values, 0)).dequantized() - values
    unheard = float((importance * difference**2).sum())
    assert error(codec, Weight(values, 0, importance)) < 0.9 * unheard


@pytest.mark.parametrize(
    "codec",
    [Codebook(3), Codebook(3, "normal-float"), Codebook(3, scope="channel"), Ternary()],
)
def test_silent_channels_beside_loud_ones_stay_silent(codec):
    values = laplace((6, 50))
    values[[1, 4]] = 0
    encoded = codec.encode(Weight(values, 0))
    assert (encoded.scale > 0).all()
    assert np.abs(encoded.dequantized()[[1, 4]]).max() < 1e-4 * np.abs(values).max()


@pytest.mark.parametrize("magnitude", [1e-30, 1.0, 1e38])
@pytest.mark.parametrize("codec", [Codebook(5), Codebook(4, scope="channel")])
def test_any_magnitude_is_kept(magnitude, codec):
    values = (np.clip(laplace((8, 64)), -3, 3) / 3 * magnitude).astype(np.float32)
    found = codec.encode(Weight(values, 0)).dequantized()
    assert np.abs(found.astype(np.float64) - values).max() < 0.12 * magnitude


def test_normal_float_levels_divide_a_normal_distribution_evenly():
    values = np.random.default_rng(0).standard_normal(100_000)
    levels = normal_float(3)
    np.testing.assert_allclose(levels, -levels[::-1], atol=1e-12)
    below = (values[:, None] < levels).mean(axis=0)
    np.testing.assert_allclose(below, (np.arange(8) + 0.5) / 8, atol=5e-3)


@pytest.mark.parametrize("bits", [0, 7, 8])
def test_bits_that_no_table_is_for_are_refused(bits):
    with pytest.raises(InputError, match="choose 1 to 6"):
        Codebook(bits)


def test_an_unknown_table_is_refused():
    with pytest.raises(InputError, match="choose k-means or normal-float"):
        Codebook(4, "guess")


def test_an_unknown_scope_is_refused():
    with pytest.raises(InputError, match="choose layer or channel"):
        Codebook(4, scope="model")


def test_a_table_of_normal_levels_for_each_channel_is_refused():
    with pytest.raises(InputError, match="normal-float is one table for all"):
        Codebook(4, "normal-float", "channel")


@pytest.mark.parametrize("bits", [5, 6])
def test_tables_of_channels_that_take_too_much_memory_are_refused(bits):
    with pytest.raises(InputError, match="choose 1 to 4, or scope layer"):
        Codebook(bits, scope="channel")
