"""How the numbers are found: settings that plans carry."""

from __future__ import annotations

import pytest

from quantkit.errors import FormatError, InputError
from quantkit.quantization.choices.ptq import PtqSettings


def test_it_reads_back_what_a_plan_says() -> None:
    fitting = PtqSettings("nearest", "hessian", bias_correction=False, smoothing=0.5)
    assert PtqSettings.from_json(fitting.to_json()) == fitting


def test_what_a_plan_leaves_out_is_as_usual() -> None:
    read = PtqSettings.from_json({"weight_range": "min-max", "target_cpu": "any"})
    assert read == PtqSettings(weight_range="min-max")


def test_a_plan_that_names_no_target_is_from_before_there_were_any() -> None:
    """Such a plan gives the bytes that it gave."""
    assert PtqSettings.from_json({}) == PtqSettings(target_cpu="vnni")
    assert "target_cpu" not in PtqSettings(target_cpu="vnni").to_json()
    assert PtqSettings().to_json()["target_cpu"] == "any"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"rounding": "up"}, "'up'"),
        ({"rounding": 3}, "rounding cannot be 3"),
        ({"bias_correction": "yes"}, "bias_correction cannot be 'yes'"),
        ({"smoothing": 1.5}, "0 to 1"),
        ({"dithering": True}, "'dithering'"),
        ({"target_cpu": "mips"}, "unknown target CPU 'mips'; choose one of any, avx2, vnni, arm"),
        ({"balance": ["a", "b", "a"]}, "its balance names a twice"),
    ],
)
def test_a_plan_that_asks_for_nonsense_is_refused(document: dict[str, object], named: str) -> None:
    with pytest.raises(FormatError, match=named):
        PtqSettings.from_json(document)


def test_settings_of_ones_own_are_checked_too() -> None:
    with pytest.raises(InputError, match="weight range 'percentile'"):
        PtqSettings(weight_range="percentile")  # type: ignore[arg-type]
