"""Weights in whole bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.base import Weight, stored_bytes
from quantkit.codecs.plain import Float16, Float32, Int8, Int16

CODECS = [Int8(), Int16(), Float16(), Float32()]


def normal(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    codec=st.sampled_from(CODECS),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, codec, data, decoded):
    axis = data.draw(st.integers(0, len(shape) - 1))
    weight = Weight(normal(tuple(shape)), axis)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, axis)
    found = decoded(codec, weight, encoded)
    assert found.dtype == encoded.levels.dtype
    np.testing.assert_array_equal(found, encoded.levels)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_it_stores_as_many_bits_as_it_says(codec):
    assert stored_bytes(codec, (3, 5), 0) == 15 * codec.bits / 8


@pytest.mark.parametrize(
    ("codec", "relative"), [(Int8(), 0.02), (Int16(), 1e-4), (Float16(), 5e-4), (Float32(), 0)]
)
def test_more_bits_come_closer(codec, relative):
    values = normal((4, 300))
    found = codec.encode(Weight(values, 0)).dequantized()
    assert np.linalg.norm(found - values) <= relative * np.linalg.norm(values)


def test_integer_levels_are_symmetric():
    values = np.linspace(-1, 1, 256, dtype=np.float32)[None]
    assert Int8().encode(Weight(values, 0)).levels.min() >= -127
    assert Int16().encode(Weight(values, 0)).levels.min() >= -32767


def test_ordinary_floats_have_scales_of_one():
    for codec in (Float16(), Float32()):
        assert (codec.encode(Weight(normal((4, 6)), 1)).scale == 1).all()


@pytest.mark.parametrize("magnitude", [3e38, 1e6, 1e-6, 1e-30, 1e-44])
def test_half_precision_scales_what_it_cannot_hold(magnitude):
    values = np.stack([normal((40,)), np.linspace(-1, 1, 40) * magnitude]).astype(np.float32)
    encoded = Float16().encode(Weight(values, 0))
    assert encoded.scale[0] == 1
    assert np.log2(encoded.scale[1]) == np.rint(np.log2(encoded.scale[1]))
    found = encoded.dequantized()
    assert np.isfinite(found).all()
    error = np.abs(found[1].astype(np.float64) - values[1])
    assert error.max() <= 2**-11 * magnitude + 2**-149
