"""Signs, with a size for each channel or each group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.base import Weight, stored_bytes
from quantkit.codecs.binary import Binary
from quantkit.codecs.bitplane import Bitplane
from quantkit.errors import InputError


def _weight(shape: tuple[int, ...], axis: int = 0, **given) -> Weight:
    values = np.random.default_rng(0).laplace(size=shape).astype(np.float32)
    return Weight(values, axis, **given)


def _error(codec, weight: Weight) -> float:
    return float(np.square(codec.encode(weight).dequantized() - weight.values).sum())


@pytest.mark.slow
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    group_size=st.sampled_from([0, 8, 24]),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, group_size, data, decoded) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    limit = data.draw(st.sampled_from([None, 64]))
    codec, weight = Binary(group_size), _weight(tuple(shape), axis, largest_level=limit)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, axis)
    assert (encoded.scale > 0).all()
    np.testing.assert_array_equal(decoded(codec, weight, encoded), encoded.levels)


def test_a_weight_takes_one_bit_and_a_group_one_byte() -> None:
    assert stored_bytes(Binary(), (24, 80), 0) == 24 * 80 / 8
    assert stored_bytes(Binary(16), (24, 80), 0) == 24 * 80 / 8 + 24 * 80 / 16
    # The last group of a channel is padded.
    assert stored_bytes(Binary(16), (24, 81), 0) == 24 * 96 / 8 + 24 * 96 / 16


def test_with_one_size_for_a_channel_it_stores_what_one_bit_plane_does() -> None:
    weight = _weight((16, 9, 5))
    mine, other = Binary().encode(weight), Bitplane(1).encode(weight)
    np.testing.assert_array_equal(mine.levels, other.levels)
    np.testing.assert_allclose(mine.scale, other.scale, rtol=1e-3)


def test_sizes_of_groups_reduce_the_error_where_magnitudes_differ() -> None:
    values = np.random.default_rng(0).standard_normal((16, 512)) * np.repeat([1, 4], 32)[
        np.arange(512) % 64
    ].reshape(1, -1)
    ordered = np.sort(np.abs(values), axis=1) * np.sign(values)
    weight = Weight(ordered.astype(np.float32), 0)
    assert _error(Binary(64), weight) < 0.5 * _error(Binary(), weight)


def test_signs_of_one_magnitude_are_kept() -> None:
    values = np.random.default_rng(0).choice([-0.3, 0.3], (5, 48)).astype(np.float32)
    for codec in (Binary(), Binary(16)):
        np.testing.assert_allclose(codec.encode(Weight(values, 0)).dequantized(), values, rtol=1e-5)


@pytest.mark.parametrize("group_size", [-8, 12])
def test_groups_of_another_size_are_refused(group_size: int) -> None:
    with pytest.raises(InputError, match="group_size must be 0 or a multiple of 8"):
        Binary(group_size)
