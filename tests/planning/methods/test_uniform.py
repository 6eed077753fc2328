"""The most bits that fit, and never a byte more than the budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.planning.methods.uniform import uniform_plan
from quantkit.quantization import QuantizeSettings, quantize_model

SETTINGS = QuantizeSettings(compute="static")


@pytest.fixture(scope="module")
def sizes(source: Path) -> dict[int, int]:
    """Bytes of the file at each number of bits, from plans that just fit."""
    found: dict[int, int] = {}
    budget = 10**9
    while True:
        try:
            plan = uniform_plan(source, budget, None, SETTINGS)
        except InputError:
            return found
        assert plan.predicted_bytes is not None
        found[int(plan.layers[0].bits)] = plan.predicted_bytes
        budget = plan.predicted_bytes - 1


def test_each_width_is_reached_and_one_byte_less_takes_the_next(sizes) -> None:
    assert list(sizes) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)


@pytest.mark.parametrize("bits", [1, 3, 6])
def test_file_keeps_to_the_budget(bits, sizes, source, clips, tmp_path: Path) -> None:
    budget = sizes[bits]
    plan = uniform_plan(source, budget, None, SETTINGS)
    assert (plan.budget_bytes, {row.bits for row in plan.layers}) == (budget, {bits})
    result = quantize_model(source, tmp_path / "q.onnx", plan, clips)
    assert result.size_bytes <= budget


def test_layers_with_rules_of_their_own_keep_them(source) -> None:
    settings = QuantizeSettings(compute="static", exclude=("1",))
    with pytest.raises(InputError, match="impossible: with bitplane:1 for every layer"):
        uniform_plan(source, 100_000, None, settings)
    plan = uniform_plan(source, 200_000, None, settings)
    assert [row.codec for row in plan.layers][:2] == ["float32", "bitplane"]


def test_impossible_budget_says_what_is_possible(sizes, source) -> None:
    smallest = min(sizes.values())
    with pytest.raises(InputError, match=f"it takes {smallest:,}; raise the budget"):
        uniform_plan(source, smallest - 1, None, SETTINGS)


def test_widths_that_a_codec_lacks_are_passed_over(source) -> None:
    """Look-up codecs end at 6 bits, native types have 4 and 2."""
    for codec, widths in (("grouped", [6, 5, 4, 3, 2, 1]), ("native", [4, 2])):
        # A plan notes its budget, so a shorter number makes the file some bytes smaller.
        budget = uniform_plan(source, 10**9, None, SETTINGS, codec=codec).predicted_bytes - 9
        found = []
        for _ in widths:
            plan = uniform_plan(source, budget, None, SETTINGS, codec=codec)
            found.append(plan.layers[0].bits)
            budget = plan.predicted_bytes - 9
        assert found == widths
        with pytest.raises(InputError, match=f"impossible: with {codec}:{widths[-1]} for every"):
            uniform_plan(source, budget, None, SETTINGS, codec=codec)
