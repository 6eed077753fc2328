"""Rice codes of whole numbers, decoded by standard operators."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.golomb import RiceCode


def check(numbers: np.ndarray, low_bits: int, spare: int, run_decoder) -> RiceCode:
    lengths = int(((numbers >> low_bits) + 1).sum())
    code = RiceCode(len(numbers), low_bits, lengths + spare)
    assert int(code.lengths(numbers).sum()) == lengths
    packed = code.pack(numbers)
    assert tuple(each.part for each in packed) == code.parts()
    found = run_decoder(packed, code.unpack)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, numbers)
    return code


@pytest.mark.slow
@given(
    numbers=st.lists(st.integers(0, 900), min_size=1, max_size=40),
    low_bits=st.integers(0, 8),
    spare=st.integers(0, 70),
)
def test_numbers_survive(numbers, low_bits, spare, run_decoder):
    check(np.array(numbers, np.int64), low_bits, spare, run_decoder)


@pytest.mark.parametrize("low_bits", [0, 3])
def test_the_same_for_many(low_bits, run_decoder):
    numbers = np.random.default_rng(0).geometric(0.1, 5000) - 1
    check(numbers, low_bits, 100, run_decoder)


def test_a_number_takes_its_high_part_a_one_and_its_low_bits():
    code = RiceCode(1000, 4, 2500)
    assert code.lengths(np.array([0, 15, 16, 47])).tolist() == [1, 1, 2, 3]
    assert sum(part.bytes for part in code.parts()) == 313 + 504  # 2500 bits, and 1001 half bytes


def test_geometric_numbers_take_hardly_more_than_their_entropy():
    # Gallager and van Voorhis: the best power is the one at which halves of the numbers fall short.
    share = 1 - 0.5 ** (1 / 16)
    numbers = np.random.default_rng(0).geometric(share, 200_000) - 1
    entropy = (-share * np.log2(share) - (1 - share) * np.log2(1 - share)) / share
    code = RiceCode(len(numbers), 4, 0)
    assert 4 + code.lengths(numbers).mean() < entropy + 0.05
