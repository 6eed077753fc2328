"""myQASR and what it is compared with, on a model: real bytes, orders and counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.graph.artifact import open_model
from quantkit.graph.plan import Plan
from quantkit.planning.methods import METHODS, method_named
from quantkit.planning.methods.counting import float_parameters
from quantkit.planning.methods.linear import Linear
from quantkit.planning.methods.myqasr import MyQasr
from quantkit.planning.methods.precisions import Precisions
from quantkit.planning.methods.reversed import Reversed
from quantkit.planning.methods.shuffled import Shuffled
from quantkit.planning.methods.uniform import Uniform
from quantkit.planning.size import with_sizes
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from tests.planning.methods.conftest import NAMES, SETTINGS, plan_of

#: By rising median.
ASCENDING = [NAMES[i] for i in (2, 0, 5, 1, 4, 3)]


def bits_of(plan: Plan) -> dict[str, float]:
    return {row.name: row.bits for row in plan.layers}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_file_keeps_to_the_budget(
    method, between, source, sensitivity, clips, tmp_path: Path
) -> None:
    plan = plan_of(method_named(method), source, between, sensitivity)
    assert plan.budget_bytes == between
    result = quantize_model(source, tmp_path / "q.onnx", plan, clips)
    assert result.size_bytes <= between
    assert plan.method.startswith(method)


def test_every_method_is_described_and_others_are_refused() -> None:
    assert all(method.description for method in METHODS.values())
    with pytest.raises(InputError, match="unknown method 'best'; choose one of uniform"):
        method_named("best")
    with pytest.raises(InputError, match="method uniform has no option 'seed'"):
        method_named("uniform", seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["ascending", "descending"])
def test_order_decides_which_layers_have_the_bit_more(
    direction, between, source, sensitivity
) -> None:
    plan = plan_of(MyQasr(direction=direction), source, between, sensitivity)
    bits = bits_of(plan)
    assert set(bits.values()) == {3, 4}
    order = ASCENDING if direction == "ascending" else ASCENDING[::-1]
    assert [bits[name] for name in order] == sorted(bits.values())
    assert plan.method == f"myqasr {direction}"


@pytest.mark.slow
def test_no_step_before_the_plan_would_have_fitted(between, source, sensitivity) -> None:
    plan = plan_of(MyQasr(), source, between, sensitivity)
    bits = bits_of(plan)
    last_taken = [name for name in ASCENDING if bits[name] == 3][-1]
    rows = [replace(row, bits=4) if row.name == last_taken else row for row in plan.layers]
    before = with_sizes(source, replace(plan, layers=tuple(rows)), between)
    assert plan.predicted_bytes <= between < before.predicted_bytes


@pytest.mark.slow
def test_another_metric_orders_by_it_and_the_plan_says_so(between, source, sensitivity) -> None:
    """The variances of the table fall where its medians rise."""
    plan = plan_of(MyQasr(metric="variance"), source, between, sensitivity)
    other = plan_of(MyQasr(direction="descending"), source, between, sensitivity)
    assert bits_of(plan) == bits_of(other)
    assert plan.method == "myqasr ascending by variance"


@pytest.mark.slow
def test_reversed_is_myqasr_in_the_other_direction(between, source, sensitivity) -> None:
    for direction, other in (("ascending", "descending"), ("descending", "ascending")):
        plan = plan_of(Reversed(direction=direction), source, between, sensitivity)
        mirror = plan_of(MyQasr(direction=other), source, between, sensitivity)
        assert bits_of(plan) == bits_of(mirror)
        assert plan.method == f"reversed {direction}"


@pytest.mark.slow
def test_shuffled_deals_out_the_same_bits_by_its_seed(between, source, sensitivity) -> None:
    base = plan_of(MyQasr(), source, between, sensitivity)
    dealt = [plan_of(Shuffled(seed=seed), source, between, sensitivity) for seed in range(4)]
    for plan in dealt:
        assert Counter(bits_of(plan).values()) == Counter(bits_of(base).values())
        assert plan.predicted_bytes <= between
    assert len({tuple(bits_of(plan).values()) for plan in dealt}) > 1
    again = plan_of(Shuffled(seed=1), source, between, sensitivity)
    assert again == dealt[1]
    assert again.method == "shuffled 1 of myqasr ascending"


@pytest.mark.slow
def test_shuffled_deals_out_the_bits_of_any_plan(between, source) -> None:
    rows = (2, 2, 3, 3, 5, 8)
    base = plan_of(Uniform(), source, 10**6)
    base = replace(
        base,
        method="manual",
        layers=tuple(
            replace(row, codec="bitplane", bits=bits)
            for row, bits in zip(base.layers, rows, strict=True)
        ),
    )
    plan = plan_of(Shuffled(base=base), source, 10**6)
    assert sorted(bits_of(plan).values()) == sorted(rows)
    assert plan.method == "shuffled 0 of manual"


@pytest.mark.slow
def test_linear_gives_the_extremes_the_ends(source, sensitivity) -> None:
    """Medians 0.1 and 0.9 get 7 and 2 bits; 0.2, 0.3, 0.4, 0.5 lie ⅛, ¼, ⅜ and ½ of the way."""
    bits = dict(zip(NAMES, (6, 5, 7, 2, 5, 6), strict=True))
    rows = Precisions(source, SETTINGS).plan(bits, "linear descending")
    budget = with_sizes(source, rows, 10**5).predicted_bytes
    plan = plan_of(Linear(lowest=2, highest=7), source, budget, sensitivity)
    assert bits_of(plan) == bits
    assert plan.method == "linear descending"
    other = plan_of(Linear(lowest=2, highest=7, direction="ascending"), source, budget, sensitivity)
    assert bits_of(other)[NAMES[2]] < bits_of(other)[NAMES[3]]


@pytest.mark.slow
def test_linear_stays_within_its_ends(source, sensitivity) -> None:
    most = plan_of(Linear(lowest=2, highest=7), source, 10**6, sensitivity)
    assert bits_of(most) == dict.fromkeys(NAMES, 7)
    with pytest.raises(InputError, match="with bitplane:2 for every layer it takes"):
        plan_of(Linear(lowest=2, highest=7), source, 40_000, sensitivity)


def test_linear_refuses_ends_that_are_no_range(source, sensitivity) -> None:
    with pytest.raises(InputError, match="bits from 5 to 5 are no range"):
        plan_of(Linear(lowest=5, highest=5), source, 10**6, sensitivity)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["uniform", "shuffled", "linear", "myqasr"])
def test_impossible_budget_says_what_is_possible(method, source, sensitivity) -> None:
    with pytest.raises(InputError) as caught:
        plan_of(method_named(method), source, 10_000, sensitivity)
    assert "with bitplane:1 for every layer it takes " in str(caught.value)
    smallest = int(str(caught.value).split("it takes ")[1].split(";")[0].replace(",", ""))
    # The file carries its plan, whose method and budget take a few bytes more or less.
    plan = plan_of(method_named(method), source, smallest + 64, sensitivity)
    assert set(bits_of(plan).values()) == {1}


@pytest.mark.slow
def test_between_int8_and_float_layers_become_int8_one_after_the_other(source, sensitivity) -> None:
    small = plan_of(Uniform(), source, 10**6).predicted_bytes
    budget = (small + source.stat().st_size) // 2
    plan = plan_of(MyQasr(), source, budget, sensitivity)
    codecs = {row.name: row.codec for row in plan.layers}
    quantized = [name for name in ASCENDING if codecs[name] == "int8"]
    assert 0 < len(quantized) < 6
    assert quantized == ASCENDING[: len(quantized)]
    assert plan.predicted_bytes <= budget


def test_generous_budget_leaves_everything_as_it_is(source, sensitivity) -> None:
    plan = plan_of(MyQasr(), source, 10**9, sensitivity)
    assert {row.codec for row in plan.layers} == {"float32"}


@pytest.mark.slow
@pytest.mark.parametrize("count", ["published", "released"])
def test_computed_counts_fit_where_they_say_and_files_differ(count, source, sensitivity) -> None:
    """4 bits, as the count has it: half of the weights, and the rest in 1 byte or 4."""
    weights = {row.name: row.shape for row in plan_of(Uniform(), source, 10**6).layers}
    quantized = sum(shape[0] * shape[1] * shape[2] for shape in weights.values())
    others = float_parameters(open_model(source)) - quantized
    assert others > 0
    budget = quantized // 2 + others * {"published": 1, "released": 4}[count]
    plan = plan_of(MyQasr(size=count), source, budget, sensitivity)
    assert set(bits_of(plan).values()) == {4}
    less = plan_of(MyQasr(size=count), source, budget - 1, sensitivity)
    assert bits_of(less)[ASCENDING[0]] == 3
    assert sorted(bits_of(less).values()) == [3, 4, 4, 4, 4, 4]
    assert plan.method == f"myqasr ascending, size as {count}"
    # Scales, tables and the graph are in the file only, which therefore notes no budget.
    assert plan.budget_bytes is None
    assert plan.predicted_bytes > budget


def test_computed_counts_refuse_what_is_impossible(source, sensitivity) -> None:
    with pytest.raises(InputError, match="with 1 bits for every layer the published count is"):
        plan_of(MyQasr(size="published"), source, 1000, sensitivity)
    with pytest.raises(InputError, match="unknown size 'guessed'; choose one of bytes"):
        plan_of(MyQasr(size="guessed"), source, 10**6, sensitivity)


@pytest.mark.slow
def test_plan_as_published_has_activations_as_weights(between, source, sensitivity) -> None:
    plan = plan_of(MyQasr(), source, between, sensitivity, activation_bits="weights")
    assert [row.activation_bits for row in plan.layers] == [row.bits for row in plan.layers]
    assert plan.method == "myqasr ascending, activations as weights"


def test_fitting_is_noted_and_counted(between, source, sensitivity) -> None:
    fitting = PtqSettings(rounding="compensated", weight_range="cosine")
    plan = plan_of(MyQasr(), source, between, sensitivity, fitting=fitting)
    assert PtqSettings.from_json(plan.fitting) == fitting
    assert plan.predicted_bytes <= between
