"""The house is in order: each piece of knowledge stands in one room."""

from __future__ import annotations

from benchmarks.house import OPERATOR_EXCEPTIONS, OPERATOR_ROOMS, OPERATORS, named


def test_operators_are_named_in_their_own_rooms_only() -> None:
    found = named(OPERATORS, OPERATOR_ROOMS)

    assert found.keys() - OPERATOR_EXCEPTIONS.keys() == set()


def test_each_exception_is_still_needed_and_has_a_reason() -> None:
    found = named(OPERATORS, OPERATOR_ROOMS)

    assert OPERATOR_EXCEPTIONS.keys() <= found.keys()
    assert all(OPERATOR_EXCEPTIONS.values())
