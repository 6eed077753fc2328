"""Pairs of levels as Rice codes of their rank."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.codecs.base import Weight, blank, stored_bytes
from quantkit.codecs.feedback import SecondMoments
from quantkit.codecs.grouped import Grouped
from quantkit.codecs.rice import PairTable, Rice, shared_pairs
from quantkit.errors import InputError


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def error(codec, weight: Weight) -> float:
    difference = codec.encode(weight).dequantized().astype(np.float64) - weight.values
    return float((difference**2).sum())


def moments(inputs: int, seed: int = 0) -> SecondMoments:
    rows = np.random.default_rng(seed).standard_normal((3 * inputs, inputs))
    rows = np.cumsum(rows, axis=1) / np.sqrt(np.arange(1, inputs + 1))
    return SecondMoments((rows.T @ rows / len(rows)).astype(np.float32))


@pytest.mark.slow
@settings(deadline=None)
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    hundredths=st.integers(100, 500),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, hundredths, data, decoded):
    axis = data.draw(st.integers(0, len(shape) - 1))
    weight = Weight(normal(tuple(shape)), axis)
    codec = Rice(hundredths / 100)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, axis)
    assert encoded.scale.shape == (shape[axis],)
    found = decoded(codec, weight, encoded)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, encoded.levels)


@pytest.mark.parametrize("bits", [1.0, 1.37, 2.0, 2.85, 4.0, 5.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_levels_survive_at_any_number_of_bits(bits, axis, decoded):
    values = normal((61, 99))
    values[3, 4] = 40
    weight = Weight(values, axis, second_moments=moments(values.shape[1 - axis]))
    encoded = Rice(bits).encode(weight)
    np.testing.assert_array_equal(decoded(Rice(bits), weight, encoded), encoded.levels)


@pytest.mark.parametrize("bits", [1.5, 2.85, 4.0])
def test_a_weight_takes_its_bits_and_its_share_of_the_table(bits):
    count = 512 * 1024
    codec = Rice(bits)
    stored = 8 * stored_bytes(codec, (512, 1024), 0) / count
    assert stored == pytest.approx(bits + 16 * codec.own_pairs(count) / count, abs=1e-3)
    assert stored < 1.011 * bits


def test_codes_fill_what_they_may_take():
    # The error falls by 6 dB with each bit, so half of a per cent unused is hardly seen.
    weight = Weight(normal((128, 512)), 0)
    errors = [error(Rice(bits), weight) for bits in (2.5, 2.6, 2.7)]
    assert errors[0] > 1.1 * errors[1] > 1.1**2 * errors[2]


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_of_normal_weights_the_error_is_that_of_an_ideal_code_within_a_tenth_of_a_bit(bits):
    weight = Weight(normal((256, 1024)), 0)
    step = 1.0
    for _ in range(60):
        levels = np.rint(weight.values / step).astype(int)
        shares = np.unique(levels, return_counts=True)[1] / levels.size
        step *= 2.0 ** (-(shares * np.log2(shares)).sum() - bits)
    ideal = float(((levels * step - weight.values) ** 2).sum())
    assert error(Rice(bits), weight) < ideal * 4.0**0.1


@pytest.mark.parametrize(("bits", "more"), [(2, 0.22), (3, 0.2), (4, 0.19)])
def test_of_normal_weights_the_error_is_that_of_grouped_tables_with_fewer_bytes(bits, more):
    weight = Weight(normal((256, 1024)), 0)
    grouped, rice = Grouped(bits), Rice(bits + more)
    assert error(rice, weight) < error(grouped, weight)
    assert stored_bytes(rice, (256, 1024), 0) < stored_bytes(grouped, (256, 1024), 0)


def test_of_weights_with_long_tails_it_saves_more():
    weight = Weight(np.random.default_rng(0).standard_t(4, (256, 1024)).astype(np.float32), 0)
    grouped, rice = Grouped(3), Rice(3.02)
    assert error(rice, weight) < error(grouped, weight)
    assert stored_bytes(rice, (256, 1024), 0) < 0.95 * stored_bytes(grouped, (256, 1024), 0)


def test_neighbours_that_are_alike_take_less():
    # Adjacent taps of convolutions are: then pairs on a diagonal are the frequent ones.
    alone = normal((128, 1024))
    alike = alone.reshape(128, 512, 2).copy()
    alike[..., 1] = 0.8 * alike[..., 0] + 0.6 * alike[..., 1]
    together = Weight(alike.reshape(128, 1024), 0)
    assert error(Rice(3), together) < 0.8 * error(Rice(3), Weight(alone, 0))


def test_compensated_rounding_divides_the_error_at_the_output():
    values = normal((64, 96))
    seen = moments(96)
    matrix = seen.matrices[0].astype(np.float64)

    def at_output(weight: Weight) -> float:
        difference = Rice(2.5).encode(weight).dequantized() - values
        return float(np.einsum("ci,ij,cj->", difference, matrix, difference))

    assert at_output(Weight(values, 0, second_moments=seen)) < 0.5 * at_output(Weight(values, 0))


def test_a_few_large_weights_are_kept():
    values = normal((64, 512))
    values[::9, 100] = 12
    encoded = Rice(3).encode(Weight(values, 0))
    assert np.abs(encoded.dequantized() - values)[::9, 100].max() < 1


@pytest.mark.parametrize("most", [64, 63, 20])
def test_no_level_is_beyond_the_largest_one(most, decoded):
    values = np.random.default_rng(0).standard_t(2, (64, 256)).astype(np.float32)
    weight = Weight(values, 0, largest_level=most)
    encoded = Rice(4.5).encode(weight)
    assert most // 2 < np.abs(encoded.levels).max() <= most
    np.testing.assert_array_equal(decoded(Rice(4.5), weight, encoded), encoded.levels)


@pytest.mark.parametrize(
    "values", [np.zeros((3, 5)), np.full((2, 64), 1e30), np.full((2, 3), -1e-30)]
)
def test_odd_weights_are_stored(values, decoded):
    weight = Weight(values.astype(np.float32), 0)
    encoded = Rice(2).encode(weight)
    assert np.isfinite(encoded.dequantized()).all()
    np.testing.assert_array_equal(decoded(Rice(2), weight, encoded), encoded.levels)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_large_weight_is_stored_in_segments(axis, decoded, monkeypatch):
    monkeypatch.setattr("quantkit.codecs.rice._SEGMENT", 1000)
    values = normal((50, 62))
    importance = np.abs(normal((50, 62), 1)) + np.float32(0.1)
    weight = Weight(values, axis, importance, moments(values.shape[1 - axis]))
    codec = Rice(3)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(values.shape, axis)
    assert [each.shape[axis] for each in codec.split(values.shape, axis)] == (
        [17, 17, 16] if axis == 0 else [21, 21, 20]
    )
    np.testing.assert_array_equal(decoded(codec, weight, encoded), encoded.levels)
    assert np.square(encoded.dequantized() - values).mean() < 0.1
    packed = blank(codec, values.shape, axis, seed=0)
    assert tuple(stored.part for stored in packed) == codec.parts(values.shape, axis)


def test_bytes_are_the_same_every_time():
    weight = Weight(normal((32, 64)), 0, second_moments=moments(64))
    assert Rice(2.3).encode(weight).packed == Rice(2.3).encode(weight).packed


@pytest.mark.parametrize("bits", [1.0, 1.8, 2.25, 2.6, 4.4, 5.0])
def test_a_blank_weight_can_be_decoded_and_is_like_no_other(bits, run_decoder):
    codec, shape = Rice(bits), (48, 50)
    packed = blank(codec, shape, 0, seed=1)
    assert tuple(each.part for each in packed) == codec.parts(shape, 0)
    found = run_decoder(packed, lambda names, builder: codec.decode(shape, 0, names, builder))
    assert found.shape == shape
    assert found.any()
    other = blank(codec, shape, 0, seed=2)
    assert all(one.raw != another.raw for one, another in zip(packed, other, strict=True))


def test_the_most_frequent_pairs_have_the_lowest_ranks():
    pairs = np.array([[0, 0]] * 9 + [[5, -1]] * 4 + [[-5, 1]] * 3 + [[1, 0]] * 2, np.int8)
    table = PairTable.of(pairs, 4)
    assert table.own[:2].tolist() == [[5, -1], [1, 0]]
    assert table.ranks(pairs).tolist() == [0] * 9 + [1] * 4 + [2] * 3 + [3] * 2


def test_every_pair_of_levels_has_a_rank():
    levels = np.array([0, 1, 22, 24, 44, 48, 64], np.int8)
    levels = np.concatenate([levels, -levels[1:]])
    first, second = np.meshgrid(levels, levels)
    pairs = np.stack([first.reshape(-1), second.reshape(-1)], axis=1)
    table = PairTable(np.zeros((0, 2), np.int8))
    np.testing.assert_array_equal(table.all_pairs[table.ranks(pairs)], pairs)


def test_the_shared_table_goes_outwards_and_has_no_pair_twice():
    pairs = shared_pairs().astype(int)
    away = (pairs**2).sum(axis=1)
    assert (np.diff(away) >= 0).all()
    both = {tuple(pair) for pair in pairs} | {tuple(-pair) for pair in pairs}
    assert len(both) == 2 * len(pairs)
    assert (0, 0) not in both


@pytest.mark.parametrize("bits", [0.9, 5.1, math.nan, math.inf])
def test_other_numbers_of_bits_are_refused(bits):
    with pytest.raises(InputError, match="1 to 5 bits"):
        Rice(bits)
