"""What ``--by`` may say."""

from __future__ import annotations

import pytest

from quantkit.errors import InputError
from quantkit.slices.by import By, parse_by


def test_names_and_bounds_in_any_number_of_lists() -> None:
    assert parse_by(["Language, length:5/20", "words"]) == (
        By("language"),
        By("length", (5.0, 20.0)),
        By("words"),
    )


def test_a_computed_property_has_other_names() -> None:
    assert [each.name for each in parse_by("snr,loudness")] == ["noise", "level"]


@pytest.mark.parametrize(
    "text", ["", "language,", "length:", "length:a", "length:5/5", "length:nan", "snr,noise"]
)
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--by"):
        parse_by(text)
