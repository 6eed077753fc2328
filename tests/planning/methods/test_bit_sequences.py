"""Which layer loses the next bit, on plain numbers: myQASR's rounds and linear interpolation."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.planning.methods.bit_sequences import by_value, candidates, in_turn

VALUES = st.dictionaries(st.sampled_from("abcdefg"), st.floats(-1e3, 1e3), min_size=1)


@pytest.mark.slow
@given(st.permutations("abcde"), st.integers(0, 40))
def test_rounds_keep_all_layers_within_one_bit_and_the_first_in_order_lower(order, taken) -> None:
    steps = list(candidates(dict.fromkeys("abcde", 9), in_turn(order, 8)))
    bits = steps[taken]
    assert sum(bits.values()) == 5 * 9 - taken
    assert max(bits.values()) - min(bits.values()) <= 1
    fewer = [name for name in order if bits[name] == min(bits.values())]
    if len(set(bits.values())) == 2:
        assert fewer == list(order)[: len(fewer)]


def test_rounds_end_where_every_layer_has_the_lowest_bits() -> None:
    *_, last = candidates({"a": 32, "b": 32}, in_turn(["b", "a"], 31))
    assert last == {"a": 1, "b": 1}


def test_candidates_are_independent_of_each_other() -> None:
    first, second = candidates({"a": 2}, ["a"])
    assert (first, second) == ({"a": 2}, {"a": 1})


@given(VALUES)
def test_interpolation_sinks_from_highest_to_lowest_one_bit_at_a_time(values) -> None:
    steps = list(candidates(dict.fromkeys(values, 8), by_value(values, 2, 8)))
    assert len(steps) == 1 + 6 * len(values)
    assert steps[-1] == dict.fromkeys(values, 2)
    order = sorted(values, key=values.__getitem__)
    for bits in steps:
        assert all(
            bits[low] <= bits[high] for low, high in pairwise(order) if values[low] < values[high]
        )


def test_interpolation_hits_both_ends_unshifted() -> None:
    """Values 0, ¼, ½, 1 between 2 and 8 bits: 2, 3.5, 5, 8. Half a bit up, or down, is a step."""
    values = {"a": 0.0, "b": 0.25, "c": 0.5, "d": 1.0}
    steps = list(candidates(dict.fromkeys(values, 8), by_value(values, 2, 8)))
    assert {"a": 2, "b": 4, "c": 5, "d": 8} in steps
    # Shifted by one bit, d stays within the ends.
    assert {"a": 3, "b": 5, "c": 6, "d": 8} in steps


def test_equal_values_get_equal_bits() -> None:
    steps = list(candidates({"a": 4, "b": 4}, by_value({"a": 0.7, "b": 0.7}, 2, 4)))
    assert [sorted(bits.values()) for bits in steps] == [[4, 4], [3, 4], [3, 3], [2, 3], [2, 2]]


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_interpolation_does_not_depend_on_the_unit(scale) -> None:
    values = {"a": 0.0, "b": 0.3, "c": 0.45, "d": 1.0}
    scaled = {name: scale * value for name, value in values.items()}
    assert by_value(values, 1, 8) == by_value(scaled, 1, 8)
