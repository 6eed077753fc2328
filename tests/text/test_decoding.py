"""What a user says about decoding is checked at once, and said again in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.text.decoding import WHOLE, Decoding, parse_window


def test_words_tell_runs_apart() -> None:
    assert Decoding().in_words == "greedy"
    assert Decoding("beam").in_words == "beam, width 20"
    assert Decoding("beam", width=7).in_words == "beam, width 7"
    with_model = Decoding("beam", language_model=Path("a/lm.arpa"), lm_weight=0.5)
    assert with_model.in_words == "beam, width 20, lm.arpa × 0.5"


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"language_model": Path("lm.arpa")},
        {"temperatures": ()},
        {"temperatures": (0.0, -0.2)},
        {"window": -0.5},
        {"window": float("nan")},
        {"window": "auto"},
    ],
)
def test_settings_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Decoding(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "seconds"), [("auto", None), ("full", WHOLE), ("0", 0), ("2.5", 2.5)]
)
def test_a_window_is_said_in_a_word_or_in_seconds(said: str, seconds: float | None) -> None:
    assert parse_window(said) == seconds


@pytest.mark.parametrize("said", ["", "short", "-1", "nan", "1,5"])
def test_anything_else_is_no_window(said: str) -> None:
    with pytest.raises(InputError, match="seconds of silence"):
        parse_window(said)
