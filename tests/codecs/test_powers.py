"""Weights on zero and signed powers of two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.base import Weight, stored_bytes
from quantkit.codecs.bitplane import Bitplane
from quantkit.codecs.powers import Powers
from quantkit.errors import InputError


def _weight(shape: tuple[int, ...], axis: int = 0, **given) -> Weight:
    values = np.random.default_rng(0).laplace(size=shape).astype(np.float32)
    return Weight(values, axis, **given)


def _error(codec, weight: Weight) -> float:
    return float(np.square(codec.encode(weight).dequantized() - weight.values).sum())


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_levels_are_zero_and_powers_of_two_that_int8_holds(bits: int) -> None:
    levels = Powers(bits).levels
    assert len(set(levels.tolist())) == 2**bits
    magnitudes = np.abs(levels[levels != 0].astype(int))
    assert (magnitudes & (magnitudes - 1) == 0).all()
    assert levels.tolist() == sorted(levels.tolist())


@pytest.mark.slow
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    bits=st.integers(2, 4),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, bits, data, decoded) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    limit = data.draw(st.sampled_from([None, 64, 2]))
    codec, weight = Powers(bits), _weight(tuple(shape), axis, largest_level=limit)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, axis)
    assert (encoded.scale > 0).all()
    np.testing.assert_array_equal(decoded(codec, weight, encoded), encoded.levels)
    assert set(encoded.levels.reshape(-1).tolist()) <= set(codec.levels.tolist())


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_a_weight_takes_its_bits(bits: int) -> None:
    assert stored_bytes(Powers(bits), (24, 10, 5), 0) == 24 * 10 * 5 * bits / 8


def test_the_error_falls_with_the_bits_and_below_that_of_even_levels_on_long_tails() -> None:
    weight = _weight((32, 512))
    errors = [_error(Powers(bits), weight) for bits in (2, 3, 4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.95 * _error(Bitplane(3), weight)


def test_powers_of_two_are_kept_exactly() -> None:
    values = np.random.default_rng(0).choice([-4, -2, -1, 0, 1, 2, 4], (6, 200)) * 0.37
    encoded = Powers(3).encode(Weight(values.astype(np.float32), 0))
    np.testing.assert_allclose(encoded.dequantized(), values, rtol=1e-6)


def test_given_scales_are_kept_and_levels_are_the_nearest() -> None:
    weight = _weight((4, 60), scale=np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    encoded = Powers(3).encode(weight)
    np.testing.assert_array_equal(encoded.scale, weight.scale)
    levels = Powers(3).levels.astype(np.float32)
    distances = np.abs(weight.values[..., None] / encoded.scale[:, None, None] - levels)
    np.testing.assert_array_equal(encoded.levels, levels[distances.argmin(axis=-1)])


@pytest.mark.parametrize("bits", [1, 5])
def test_bits_whose_powers_leave_int8_are_refused(bits: int) -> None:
    with pytest.raises(InputError, match="powers has 2 to 4 bits"):
        Powers(bits)
