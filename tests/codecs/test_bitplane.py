"""Evenly spaced levels in 1 to 8 bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.base import Weight, stored_bytes
from quantkit.codecs.bitplane import Bitplane
from quantkit.errors import InputError


@pytest.mark.slow
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    bits=st.integers(1, 8),
    midrise=st.booleans(),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, bits, midrise, data, decoded):
    axis = data.draw(st.integers(0, len(shape) - 1))
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    weight = Weight(values, axis)
    codec = Bitplane(bits, "midrise" if midrise and bits < 8 else None)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, axis)
    found = decoded(codec, weight, encoded)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, encoded.levels)


@pytest.mark.parametrize("bits", range(1, 9))
def test_it_stores_as_many_bits_as_it_says(bits):
    assert stored_bytes(Bitplane(bits), (24, 10, 5), 0) == 24 * 10 * 5 * bits / 8


def test_one_bit_is_the_sign():
    values = np.random.default_rng(0).standard_normal((4, 30)).astype(np.float32)
    encoded = Bitplane(1).encode(Weight(values, 0))
    np.testing.assert_array_equal(encoded.levels, np.sign(values))
    np.testing.assert_allclose(encoded.scale, np.abs(values).mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize(("bits", "grid"), [(0, None), (9, None), (8, "midrise"), (3, "odd")])
def test_a_grid_that_does_not_exist_is_refused(bits, grid):
    with pytest.raises(InputError, match="there is no"):
        Bitplane(bits, grid)
