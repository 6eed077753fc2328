"""The most bits that fit, and never a byte more than the budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.planning.methods.uniform import Uniform
from quantkit.quantization import QuantizeSettings, quantize_model
from tests.planning.methods.conftest import plan_of


@pytest.fixture(scope="module")
def sizes(source: Path) -> dict[int, int]:
    """Bytes of the file at each number of bits, from plans that just fit."""
    found: dict[int, int] = {}
    budget = 10**9
    while True:
        try:
            plan = plan_of(Uniform(), source, budget)
        except InputError:
            return found
        assert plan.predicted_bytes is not None
        found[int(plan.layers[0].bits)] = plan.predicted_bytes
        budget = plan.predicted_bytes - 1


@pytest.mark.slow
def test_each_width_is_reached_and_one_byte_less_takes_the_next(sizes) -> None:
    assert list(sizes) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 3, 6])
def test_file_keeps_to_the_budget(bits, sizes, source, clips, tmp_path: Path) -> None:
    budget = sizes[bits]
    plan = plan_of(Uniform(), source, budget)
    assert (plan.budget_bytes, {row.bits for row in plan.layers}) == (budget, {bits})
    result = quantize_model(source, tmp_path / "q.onnx", plan, clips)
    assert result.size_bytes <= budget


def test_layers_with_rules_of_their_own_keep_them(source) -> None:
    settings = QuantizeSettings(compute="static", exclude=("1",))
    with pytest.raises(InputError, match="impossible: with bitplane:1 for every layer"):
        plan_of(Uniform(), source, 100_000, settings=settings)
    plan = plan_of(Uniform(), source, 200_000, settings=settings)
    assert [row.codec for row in plan.layers][:2] == ["float32", "bitplane"]


def test_impossible_budget_says_what_is_possible(sizes, source) -> None:
    smallest = min(sizes.values())
    with pytest.raises(InputError, match=f"it takes {smallest:,}; raise the budget"):
        plan_of(Uniform(), source, smallest - 1)


@pytest.mark.slow
def test_widths_that_a_codec_lacks_are_passed_over(source) -> None:
    """Look-up codecs end at 6 bits, native types have 4 and 2."""
    for codec, widths in (("grouped", [6, 5, 4, 3, 2, 1]), ("native", [4, 2])):
        # A plan notes its budget, so a shorter number makes the file some bytes smaller.
        budget = plan_of(Uniform(), source, 10**9, codec=codec).predicted_bytes - 9
        found = []
        for _ in widths:
            plan = plan_of(Uniform(), source, budget, codec=codec)
            found.append(plan.layers[0].bits)
            budget = plan.predicted_bytes - 9
        assert found == widths
        with pytest.raises(InputError, match=f"impossible: with {codec}:{widths[-1]} for every"):
            plan_of(Uniform(), source, budget, codec=codec)
