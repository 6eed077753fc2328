"""What a user says about decoding is checked at once, and said again in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.text.decoding import Decoding


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
