"""The optimal plan: nothing that fits is predicted to be better, and what was said is kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import FormatError, InputError
from quantkit.graph.artifact import save_model
from quantkit.graph.plan import Plan
from quantkit.planning.candidates import falling_with_bits, layer_candidates
from quantkit.planning.optimal import Planner, optimal_plan
from quantkit.planning.size import with_sizes
from quantkit.planning.size_model import SizeModel
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.prepare import prepare
from quantkit.sensitivity.table import Sensitivity, WeightDivergence
from tests.planning.synthetic import CODECS, synthetic_sensitivity, synthetic_times
from tests.quantization.test_tied_weights import language_model
from tests.small_model import masked_convolutions

BUDGET = 120_000


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Wide enough that weights count for more than decoders."""
    path = tmp_path_factory.mktemp("optimal") / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


@pytest.fixture(scope="module")
def sensitivity(source) -> Sensitivity:
    return synthetic_sensitivity(source)


def settings(*rules: str, **options) -> QuantizeSettings:
    return QuantizeSettings(rules=tuple(map(LayerRule.parse, rules)), **options)


def described(plan: Plan) -> list[str]:
    return [f"{CodecChoice(row.codec, row.bits)}@{row.compute}" for row in plan.layers]


def every_combination(source: Path, sensitivity: Sensitivity) -> list[tuple[int, float]]:
    """Size and divergence of each, by the size model."""
    sizes = SizeModel(source)
    candidates = layer_candidates(prepare(source, "static-int8"), sensitivity, settings())
    found = []
    for combination in itertools.product(*candidates.values()):
        choices = {n: c.choice for n, c in zip(candidates, combination, strict=True)}
        found.append((sizes.total(choices), sum(c.divergence for c in combination)))
    return found


def test_no_combination_that_fits_is_predicted_to_be_better(source) -> None:
    codecs = CODECS[1:]
    table = synthetic_sensitivity(source, codecs, seed=3)
    everything = every_combination(source, table)
    assert len(everything) == len(codecs) ** 6
    planner = Planner.of(source, table, settings())
    for budget in (90_000, 110_000, 150_000, 200_000):
        best = min(divergence for size, divergence in everything if size <= budget)
        found = planner.estimate(budget)
        assert found is not None
        assert found.divergence == pytest.approx(best, rel=1e-9)


@pytest.mark.slow
def test_file_keeps_to_the_budget_and_leaves_no_room_for_anything_better(
    source, sensitivity
) -> None:
    planner = Planner.of(source, sensitivity, settings())
    found = planner.best(BUDGET)
    assert found.size <= BUDGET
    assert (found.plan.budget_bytes, found.plan.method) == (BUDGET, "optimal")
    candidates = layer_candidates(prepare(source, "static-int8"), sensitivity, settings())
    improved = 0
    for name, option in found.solution.options.items():
        for other in candidates[name]:
            if other.divergence < option.divergence:
                choices = {**found.solution.choices, name: other.choice}
                size = with_sizes(source, planner.plan(choices), BUDGET).predicted_bytes
                assert size > BUDGET
                improved += 1
    assert improved > 0


@pytest.mark.slow
def test_file_is_what_the_plan_says(source, sensitivity, clips, tmp_path: Path) -> None:
    found = optimal_plan(source, BUDGET, sensitivity)
    result = quantize_model(source, tmp_path / "q.onnx", found.plan, clips)
    assert found.size - 256 <= result.size_bytes <= found.size
    assert found.divergence == pytest.approx(
        sum(option.divergence for option in found.solution.options.values())
    )


@pytest.mark.slow
def test_larger_budget_is_never_worse(source, sensitivity) -> None:
    planner = Planner.of(source, sensitivity, settings())
    found = [planner.best(budget) for budget in (80_000, 120_000, 180_000, 10**7)]
    divergences = [each.divergence for each in found]
    assert divergences == sorted(divergences, reverse=True)
    assert [each.size for each in found] == sorted(each.size for each in found)
    assert set(described(found[-1].plan)) == {"int8@static"}


@pytest.mark.slow
def test_same_question_gets_the_same_plan(source, sensitivity) -> None:
    assert optimal_plan(source, BUDGET, sensitivity) == optimal_plan(source, BUDGET, sensitivity)


def test_pinned_and_excluded_layers_are_what_was_said(source, sensitivity) -> None:
    asked = settings("2=grouped:3", "layer3.conv=@dynamic", "4=bitplane:2@float32", exclude=("1",))
    plan = optimal_plan(source, 250_000, sensitivity, asked).plan
    rows = described(plan)
    assert rows[0] == "float32@float32"
    # Not in the table: what is pinned need not be.
    assert rows[1] == "grouped:3@static"
    assert rows[2].endswith("@dynamic")
    assert rows[3] == "bitplane:2@float32"
    assert all(row.endswith("@static") for row in rows[4:])


def test_candidates_can_be_fewer_than_the_table_has(source, sensitivity) -> None:
    codecs = [CodecChoice("bitplane", 3), CodecChoice("int8", 8)]
    plan = optimal_plan(source, 160_000, sensitivity, codecs=codecs).plan
    assert set(described(plan)) == {"bitplane:3@static", "int8@static"}


def test_old_runtime_gets_only_what_it_can_load(source) -> None:
    native = [CodecChoice("native", 4), CodecChoice("native", 2)]
    table = synthetic_sensitivity(source, native)
    plan = optimal_plan(source, 150_000, table, settings(target_runtime="1.17")).plan
    assert plan.target_runtime == "1.17"
    assert {row.codec for row in plan.layers} == {"bitplane"}


class TestLatency:
    @pytest.mark.slow
    def test_limit_is_kept_and_compute_chosen_for_it(self, source, sensitivity) -> None:
        times = synthetic_times(sensitivity)
        planner = Planner.of(source, sensitivity, settings(), times=times, any_compute=True)
        found = planner.best(BUDGET, 20.0)
        assert times.predicted(found.plan) <= 20.0
        assert found.solution.milliseconds == pytest.approx(times.predicted(found.plan))
        assert {row.compute for row in found.plan.layers} > {"static"}
        # What is not limited runs in float32, which rounds no input.
        free = planner.best(BUDGET)
        assert {row.compute for row in free.plan.layers} == {"float32"}
        assert free.divergence < found.divergence

    def test_impossible_limit_says_what_is_possible(self, source, sensitivity) -> None:
        times = synthetic_times(sensitivity)
        fastest = sum(each["static"] for each in times.layers.values())
        message = rf"runs in 2 ms on this host: the fastest takes {fastest:.3g}"
        with pytest.raises(InputError, match=message):
            optimal_plan(source, BUDGET, sensitivity, times=times, limit_ms=2.0)

    def test_limit_needs_times_of_this_model(self, source, sensitivity) -> None:
        with pytest.raises(InputError, match="needs the times of the layers"):
            optimal_plan(source, BUDGET, sensitivity, limit_ms=2.0)
        foreign = replace(synthetic_times(sensitivity), model_sha256="ab" * 32)
        with pytest.raises(FormatError, match=r"times are of the model with SHA-256 abababababab…"):
            optimal_plan(source, BUDGET, sensitivity, times=foreign, limit_ms=20.0)


@pytest.mark.slow
def test_impossible_budget_says_what_is_possible(source, sensitivity) -> None:
    with pytest.raises(InputError, match="is impossible: the smallest, with ") as error:
        optimal_plan(source, 10_000, sensitivity)
    smallest = int(str(error.value).split("takes ")[1].split(";")[0].replace(",", ""))
    assert optimal_plan(source, smallest + 9, sensitivity).size <= smallest + 9
    with pytest.raises(InputError, match="is impossible"):
        optimal_plan(source, smallest - 9, sensitivity)
    pinned = settings(exclude=("2",))
    with pytest.raises(InputError, match=r"5 × bitplane:2, 1 × float32, takes"):
        optimal_plan(source, smallest + 9, sensitivity, pinned)


@pytest.mark.parametrize("form", ["transpose", "gemm"])
def test_layers_with_one_weight_are_stored_in_one_way(form, tmp_path: Path) -> None:
    source = tmp_path / "tied.onnx"
    save_model(language_model(form), source)
    table = synthetic_sensitivity(source, seed=1)
    for budget in (150_000, 155_000, 160_000):
        found = optimal_plan(source, budget, table)
        rows = {row.name: row for row in found.plan.layers}
        assert rows["embedding"].codec == rows["head"].codec
        assert rows["embedding"].bits == rows["head"].bits
        assert found.size <= budget


def test_what_layers_with_one_weight_do_counts_once(tmp_path: Path) -> None:
    source = tmp_path / "tied.onnx"
    save_model(language_model("transpose"), source)
    table = synthetic_sensitivity(source, seed=1)
    table = replace(table, layers=tuple(replace(row, activations=()) for row in table.layers))
    prepared = prepare(source, settings())
    for candidate in layer_candidates(prepared, table, settings())["embedding"]:
        if not candidate.choice.codec.is_float:
            row = table.layer("embedding")
            codecs = [str(weight.codec) for weight in row.weights]
            fitted = dict(zip(codecs, falling_with_bits(row.weights), strict=True))
            # Measured with the head, which bears the other half.
            half = fitted[str(candidate.choice.codec)] / 2
            assert candidate.divergence == pytest.approx(half)


class TestTable:
    def test_of_another_model_is_refused(self, source, sensitivity) -> None:
        foreign = replace(sensitivity, model_sha256="ab" * 32)
        with pytest.raises(FormatError, match=r"for the model with SHA-256 abababababab…, not"):
            optimal_plan(source, BUDGET, foreign)

    def test_without_divergence_is_refused(self, source, sensitivity) -> None:
        layers = tuple(replace(layer, weights=()) for layer in sensitivity.layers)
        with pytest.raises(InputError, match="has no output divergence"):
            optimal_plan(source, BUDGET, replace(sensitivity, layers=layers))

    def test_must_know_the_candidates(self, source, sensitivity) -> None:
        with pytest.raises(InputError, match=r"does not have codec codebook:3; it has: grouped:2"):
            optimal_plan(source, BUDGET, sensitivity, codecs=[CodecChoice("codebook", 3)])


def measured(*pairs: tuple[str, float]) -> Sequence[WeightDivergence]:
    return [WeightDivergence(CodecChoice.parse(codec), value, 0.0) for codec, value in pairs]


def test_more_bits_of_a_codec_are_never_predicted_to_be_worse() -> None:
    noisy = measured(
        ("bitplane:4", 1e-3), ("bitplane:2", 1.0), ("bitplane:5", 4e-3), ("grouped:2", 1e-5)
    )
    fitted = falling_with_bits(noisy)
    assert fitted == pytest.approx([2e-3, 1.0, 2e-3, 1e-5])
    calm = measured(("bitplane:2", 0.5), ("bitplane:3", 0.2), ("bitplane:3,grid=midrise", 0.9))
    assert falling_with_bits(calm) == pytest.approx([0.5, 0.2, 0.9])


def with_faster_inputs(table: Sensitivity, name: str, factor: float) -> Sensitivity:
    """Layer ``name`` may have 7 bits of input, which add ``factor`` times what 8 do; its codecs
    then lose twice as much."""
    rows = []
    for row in table.layers:
        if row.name == name:
            eight = row.activations[0]
            codecs = tuple(replace(w, divergence=2 * w.divergence) for w in row.weights)
            seven = replace(eight, bits=7, divergence=factor * eight.divergence, weights=codecs)
            row = replace(row, activations=(*row.activations, seven))
        rows.append(row)
    return replace(table, layers=tuple(rows))


def test_fewer_bits_of_input_are_chosen_where_a_latency_needs_them(source, sensitivity) -> None:
    name = "layer3.conv"
    table = with_faster_inputs(sensitivity, name, 2.0)
    times = synthetic_times(sensitivity)
    own = dict(times.layers[name])
    own["static/7"] = own["static"] / 2
    times = replace(times, layers={**times.layers, name: own})
    static = settings(compute="static")

    def bits(limit_ms: float | None, **options) -> dict[str, int]:
        planner = Planner.of(source, table, static, times=times, **options)
        best = planner.best(10_000_000, limit_ms)
        assert limit_ms is None or times.predicted(best.plan) <= limit_ms + 1e-9
        return {row.name: row.activation_bits for row in best.plan.layers}

    slow = times.whole["static"]
    assert set(bits(slow, faster_inputs=True).values()) == {8}
    fewer = bits(slow - 0.1, faster_inputs=True)
    assert fewer.pop(name) == 7
    assert set(fewer.values()) == {8}
    with pytest.raises(InputError, match="no choice of kernels runs in"):
        bits(slow - 0.1)
    # Whoever sets the bits of a layer has them.
    pinned = replace(static, rules=(LayerRule(name, activation_bits=8),))
    planner = Planner.of(source, table, pinned, times=times, faster_inputs=True)
    assert planner.estimate(10_000_000, slow - 0.1) is None


def test_codecs_of_a_layer_with_fewer_bits_of_input_are_those_that_fit(source, sensitivity) -> None:
    name = "layer3.conv"
    table = with_faster_inputs(sensitivity, name, 2.0)
    candidates = layer_candidates(
        prepare(source, "static-int8"), table, settings(compute="static"), faster_inputs=True
    )[name]
    by_choice = {
        (str(each.choice.codec), each.choice.activation_bits): each.divergence
        for each in candidates
    }
    eight = sensitivity.layer(name).activations[0].divergence
    for codec in CODECS:
        seven = by_choice[str(codec), 7] - 2 * eight
        assert seven == pytest.approx(2 * (by_choice[str(codec), 8] - eight))
