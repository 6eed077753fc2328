"""Pruned weights: positions and a few bits for each kept weight."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.base import Weight, stored_bytes
from quantkit.codecs.bitplane import Bitplane
from quantkit.codecs.sparse import Sparse
from quantkit.errors import InputError


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.slow
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    share=st.floats(0, 1),
    bits=st.integers(1, 8),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, share, bits, data, decoded):
    axis = data.draw(st.integers(0, len(shape) - 1))
    weight = Weight(normal(tuple(shape)), axis)
    codec = Sparse(bits, int(share * weight.values.size))
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, axis)
    found = decoded(codec, weight, encoded)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, encoded.levels)


@pytest.mark.parametrize("kept", [0, 1, 2, 40, 255, 1000, 4000, 9999, 10000, 20000, 99999, 100000])
@pytest.mark.parametrize("clustered", [False, True])
def test_positions_survive_at_every_density(kept, clustered, decoded):
    values = normal((100, 1000))
    if clustered:
        values *= np.linspace(0, 1, values.size).reshape(values.shape) ** 30
    weight = Weight(values.astype(np.float32), 0)
    codec = Sparse(4, kept)
    encoded = codec.encode(weight)
    assert np.count_nonzero(encoded.levels) == kept  # a midrise grid has no zero
    np.testing.assert_array_equal(decoded(codec, weight, encoded), encoded.levels)


def test_the_largest_weights_are_kept():
    values = normal((20, 50))
    levels = Sparse(3, 300).encode(Weight(values, 0)).levels
    assert np.abs(values[levels != 0]).min() > np.abs(values[levels == 0]).max()


def test_importance_decides_between_equal_weights():
    values = np.ones((2, 50), np.float32)
    importance = np.arange(50, dtype=np.float32)
    levels = Sparse(2, 20).encode(Weight(values, 0, importance)).levels
    np.testing.assert_array_equal(levels != 0, np.tile(np.arange(50) >= 40, (2, 1)))


def test_of_equally_important_weights_the_first_are_kept():
    levels = Sparse(2, 3).encode(Weight(np.ones((2, 4), np.float32), 0)).levels
    np.testing.assert_array_equal(levels.reshape(-1) != 0, np.arange(8) < 3)


def test_a_pruned_weight_of_one_magnitude_is_stored_without_error():
    signs = np.sign(normal((8, 64)))
    values = np.where(np.arange(64) % 5 == 0, signs * np.float32(0.25), 0).astype(np.float32)
    encoded = Sparse(1, np.count_nonzero(values)).encode(Weight(values, 0))
    np.testing.assert_allclose(encoded.dequantized(), values, rtol=1e-6)


@pytest.mark.parametrize(("bits", "share"), [(1, 5 / 32), (2, 0.5), (4, 0.75), (8, 0.875)])
def test_it_is_smaller_than_bit_planes_up_to_the_density_that_it_states(bits, share):
    shape = (1000, 1000)
    dense = stored_bytes(Bitplane(bits), shape, 0)
    assert stored_bytes(Sparse(bits, int((share - 0.01) * 1e6)), shape, 0) < dense
    assert stored_bytes(Sparse(bits, int((share + 0.01) * 1e6)), shape, 0) > dense


@pytest.mark.parametrize("density", [0.01, 0.03, 0.1, 0.15, 0.3, 0.6])
def test_positions_take_little_more_than_any_code_must(density):
    count, kept = 1_000_000, int(density * 1e6)
    entropy = -density * np.log2(density) - (1 - density) * np.log2(1 - density)
    positions = stored_bytes(Sparse(8, kept), (count,), 0) - kept
    assert entropy <= positions * 8 / count <= min(entropy + 1.4 * density, 1.01)


def test_no_weights_can_be_kept_beyond_those_there_are():
    with pytest.raises(InputError, match="cannot keep 13 weights of 12"):
        Sparse(4, 13).parts((3, 4), 0)


def test_the_number_of_kept_weights_must_be_known_to_encode():
    with pytest.raises(InputError, match="how many weights to keep"):
        Sparse(4).encode(Weight(normal((3, 4)), 0))


def test_a_negative_number_of_weights_is_refused():
    with pytest.raises(InputError, match="cannot keep -1"):
        Sparse(4, -1)


def test_share_to_keep_is_a_number_of_weights_for_each_shape() -> None:
    for shape in ((10, 30), (7, 5, 3), (0, 4)):
        count = round(0.3 * math.prod(shape))
        assert Sparse(4, keep=30).parts(shape, 0) == Sparse(4, nonzeros=count).parts(shape, 0)


@pytest.mark.parametrize("options", [{"keep": 101}, {"keep": -1}, {"keep": 3, "nonzeros": 3}])
def test_wrong_share(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"from 0 to 100 \(per cent\)"):
        Sparse(4, **options)
