"""Criteria and tolerances as people write them."""

from __future__ import annotations

import pytest

from quantkit.api.tolerances import parse_criteria, parse_slice_tolerances, parse_tolerances
from quantkit.benchmarking.baseline import Tolerance
from quantkit.errors import InputError


def test_criteria_have_short_names_and_those_of_the_baseline() -> None:
    assert parse_criteria("wer, size,speedup,wer") == ("wer", "size_bytes", "speedup")
    with pytest.raises(InputError, match="'cer' is not a criterion; use edits, wer, changed"):
        parse_criteria("cer")


@pytest.mark.parametrize(
    ("text", "tolerance"),
    [
        ("edits=2%", Tolerance(0.02)),
        ("edits=2.5 % + 0.02", Tolerance(0.025, 0.02)),
        ("levenshtein=.1", Tolerance(0.0, 0.1)),
        ("edits=0%", Tolerance(0.0)),
    ],
)
def test_a_share_an_amount_or_both(text: str, tolerance: Tolerance) -> None:
    (found,) = parse_tolerances([text]).values()
    assert found.relative == pytest.approx(tolerance.relative)
    assert found.absolute == tolerance.absolute


@pytest.mark.parametrize(
    "text", ["edits", "edits=", "edits=-1%", "edits=two", "edits=1%2%", "x=1%"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_tolerances([text])


def test_slices_have_names_with_and_without_a_value() -> None:
    assert parse_slice_tolerances(["5%", "duration=10%", "language:de=0.1"]) == {
        "*": Tolerance(0.05),
        "length": Tolerance(0.1),
        "language:de": Tolerance(0.0, 0.1),
    }
    with pytest.raises(InputError, match="a tolerance is a share such as 5%"):
        parse_slice_tolerances(["language:de="])
