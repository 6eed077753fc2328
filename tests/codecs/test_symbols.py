"""Integers packed into bytes, and the nodes that unpack them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.symbols import Planes, Symbols, reshaped
from quantkit.errors import InputError

BITS_AND_READINGS = [(bits, reading) for bits in range(1, 9) for reading in ("unsigned", "signed")]
BITS_AND_READINGS += [(bits, "midrise") for bits in range(1, 8)]


def storable(bits: int, reading: str) -> np.ndarray:
    if reading == "midrise":
        return np.arange(1 - 2**bits, 2**bits, 2)
    return np.arange(2**bits) - (2 ** (bits - 1) if reading == "signed" else 0)


@pytest.mark.parametrize(("bits", "reading"), BITS_AND_READINGS)
def test_planes_give_every_integer_back(bits, reading, run_decoder):
    for count in (0, 1, 7, 8, 9, 1000):
        planes = Planes(count, bits, reading)
        integers = np.random.default_rng(count).permutation(
            np.resize(storable(bits, reading), count)
        )
        packed = planes.pack(integers)
        assert [stored.part for stored in packed] == list(planes.parts())
        found = run_decoder(packed, planes.unpack)
        assert found.dtype == (np.uint8 if reading == "unsigned" else np.int8)
        assert found.shape == (planes.blocks, 2, 2, 2)
        np.testing.assert_array_equal(found.reshape(-1)[:count], integers)


@pytest.mark.parametrize("bits", range(1, 9))
def test_eight_integers_take_as_many_bytes_as_each_has_bits(bits):
    assert sum(part.bytes for part in Planes(80, bits).parts()) == 10 * bits
    assert sum(part.bytes for part in Planes(81, bits).parts()) == 11 * bits


@pytest.mark.parametrize(
    ("bits", "reading"), [(0, "unsigned"), (9, "signed"), (8, "midrise"), (-1, "signed")]
)
def test_planes_refuse_bits_that_do_not_fit(bits, reading):
    with pytest.raises(InputError, match="choose 1 to"):
        Planes(1, bits, reading)


@given(
    levels=st.integers(2, 256),
    shape=st.lists(st.integers(0, 11), min_size=1, max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_symbols_look_every_code_up(levels, shape, seed, run_decoder):
    symbols = Symbols(int(np.prod(shape)), levels)
    codes = np.random.default_rng(seed).integers(0, levels, shape)
    packed = symbols.pack(codes)
    assert [stored.part for stored in packed] == list(symbols.parts())

    def look_up(names, builder):
        index = symbols.unpack(names, builder)
        return builder.add("Gather", builder.shared("digits", symbols.digits()), index)

    found = run_decoder(packed, look_up)
    assert found.size == symbols.capacity
    np.testing.assert_array_equal(found.reshape(-1)[: codes.size].reshape(shape), codes)


@pytest.mark.parametrize(("levels", "per_byte"), [(2, 8), (3, 5), (6, 3), (16, 2), (17, 1)])
def test_a_byte_holds_as_many_symbols_as_it_can_tell_apart(levels, per_byte):
    assert Symbols(80, levels).parts()[0].bytes == -(-80 // per_byte)


@pytest.mark.parametrize("levels", [-1, 0, 1, 257])
def test_symbols_refuse_levels_that_no_byte_tells_apart(levels):
    with pytest.raises(InputError, match="choose 2 to 256"):
        Symbols(1, levels)


@pytest.mark.parametrize("shape", [(3, 5), (16,), (2, 2, 4), (0,), (0, 3), (3, 0)])
def test_reshaped_cuts_the_filling_off(shape, run_decoder):
    planes = Planes(int(np.prod(shape)), 3)
    integers = np.resize(np.arange(8), shape)
    found = run_decoder(
        planes.pack(integers),
        lambda names, builder: reshaped(
            planes.unpack(names, builder), planes.capacity, shape, builder
        ),
    )
    np.testing.assert_array_equal(found, integers)
