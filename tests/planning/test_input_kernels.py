"""A layer whose integer input costs too much gets a finer kernel, and as few bits as before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.graph.artifact import save_model
from quantkit.planning.input_kernels import (
    LEAST_LIMIT,
    InputKernel,
    divergence_of_inputs,
    finer_inputs,
)
from quantkit.planning.optimal import optimal_plan
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.prepare import prepare
from quantkit.sensitivity.table import ActivationDivergence, Sensitivity
from tests.planning.synthetic import synthetic_sensitivity, synthetic_times
from tests.small_model import masked_convolutions

BUDGET = 120_000
#: Of these two, a range for each clip helps the first, and only a float product the second.
COARSE, QUIET = "layer2.conv", "layer3.conv"
STATIC, DYNAMIC = QuantizeSettings(compute="static"), QuantizeSettings(compute="dynamic")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("grids") / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


@pytest.fixture(scope="module")
def sensitivity(source) -> Sensitivity:
    grids = dict.fromkeys(("layer1.conv", "layer4.conv"), (1e-06, 1e-06))
    return with_grids(source, {**grids, COARSE: (0.05, 1e-5), QUIET: (0.07, 0.03)})


def with_grids(source: Path, grids: Mapping[str, tuple[float, float]]) -> Sensitivity:
    """A table in which each layer's static and dynamic grid costs as much."""
    table = synthetic_sensitivity(source)
    layers = [
        replace(
            row,
            activations=(
                ActivationDivergence("static", 8, grids.get(row.name, (0.0, 0.0))[0], 0.001),
                ActivationDivergence("dynamic", 8, grids.get(row.name, (0.0, 0.0))[1], 0.001),
            ),
        )
        for row in table.layers
    ]
    return replace(table, layers=tuple(layers))


def computes(source: Path, sensitivity: Sensitivity, *rules: str, **options) -> dict[str, str]:
    settings = QuantizeSettings(rules=tuple(map(LayerRule.parse, rules)))
    plan = optimal_plan(source, BUDGET, sensitivity, settings, **options).plan
    return {row.name: row.compute for row in plan.layers}


@pytest.mark.slow
def test_the_plan_has_finer_kernels_and_the_same_budget(
    source, sensitivity, clips, tmp_path
) -> None:
    best = optimal_plan(source, BUDGET, sensitivity)
    rows = {row.name: row for row in best.plan.layers}
    assert {name: row.compute for name, row in rows.items() if row.compute != "static"} == {
        COARSE: "dynamic",
        QUIET: "float32",
    }
    assert rows[QUIET].bits < 32
    assert rows[COARSE].note == (
        "a range for each clip: the usual integer input alone costs 0.05 nats"
    )
    assert rows[QUIET].note == "float product: the usual integer input alone costs 0.07 nats"
    ruined = optimal_plan(source, BUDGET, sensitivity, max_input_divergence=float("inf"))
    assert best.divergence < ruined.divergence - 0.1
    made = quantize_model(source, tmp_path / "user.onnx", best.plan, clips)
    assert made.size_bytes == best.size <= BUDGET
    assert {row.name: row.compute for row in made.plan.layers} == {
        name: row.compute for name, row in rows.items()
    }


@pytest.mark.slow
def test_what_is_said_about_a_layer_stands(source, sensitivity) -> None:
    assert computes(source, sensitivity, f"{QUIET}=@static")[QUIET] == "static"
    assert computes(source, sensitivity, "*=@dynamic")[QUIET] == "dynamic"
    assert computes(source, sensitivity, max_input_divergence=float("inf"))[QUIET] == "static"


def test_a_range_for_each_clip_comes_first_and_only_until_the_inputs_cost_little(source) -> None:
    layers = prepare(source, "static-int8").layers
    table = with_grids(source, {COARSE: (0.004, 0.001), QUIET: (0.003, 0.0001)})
    both = {
        COARSE: InputKernel("dynamic", 0.004, 0.001),
        QUIET: InputKernel("dynamic", 0.003, 0.0001),
    }
    assert finer_inputs(table, STATIC, layers, limit=0.008) == {}
    assert finer_inputs(table, STATIC, layers, limit=0.005) == {COARSE: both[COARSE]}
    assert finer_inputs(table, STATIC, layers, limit=0.002) == both
    in_float = InputKernel("float32", 0.004, 0.0)
    assert finer_inputs(table, STATIC, layers, limit=0.0005) == {**both, COARSE: in_float}


def test_many_small_costs_do_not_make_a_model_compute_in_float(source) -> None:
    layers = prepare(source, "static-int8").layers
    small = {layer.name: (0.9 * LEAST_LIMIT, 0.9 * LEAST_LIMIT) for layer in layers}
    assert finer_inputs(with_grids(source, small), DYNAMIC, layers, LEAST_LIMIT) == {}


@pytest.mark.parametrize(("weights", "compute"), [(1e-5, "float32"), (0.1, "static")])
def test_inputs_may_cost_more_where_weights_do(source, weights, compute) -> None:
    table = with_grids(source, {QUIET: (0.003, 0.003)})
    rows = [
        replace(row, weights=tuple(replace(w, divergence=weights) for w in row.weights))
        for row in table.layers
    ]
    assert computes(source, replace(table, layers=tuple(rows)))[QUIET] == compute


def test_the_kernel_that_a_layer_would_have_is_what_counts(source, sensitivity) -> None:
    layers = prepare(source, "static-int8").layers
    assert divergence_of_inputs(sensitivity, STATIC, layers)[QUIET] == 0.07
    assert divergence_of_inputs(sensitivity, DYNAMIC, layers)[QUIET] == 0.03
    assert divergence_of_inputs(sensitivity, replace(STATIC, exclude=(QUIET,)), layers)[QUIET] == 0
    # Of a grid that nobody measured nothing is known.
    assert divergence_of_inputs(sensitivity, replace(STATIC, activation_bits=4), layers)[QUIET] == 0


def test_a_limit_on_latency_decides_over_kernels_itself(source, sensitivity) -> None:
    times = synthetic_times(sensitivity)
    found = computes(source, sensitivity, times=times, limit_ms=times.whole["static"] * 1.01)
    assert found[QUIET] == "static"
