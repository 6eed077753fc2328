"""A layer whose integer input alone ruins the posteriors gets a float product, and few bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.graph.artifact import save_model
from quantkit.planning.float_inputs import MAX_INPUT_DIVERGENCE, costly_grids
from quantkit.planning.optimal import optimal_plan
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.prepare import prepare
from quantkit.sensitivity.table import ActivationDivergence, Sensitivity
from tests.planning.synthetic import synthetic_sensitivity, synthetic_times
from tests.small_model import masked_convolutions

BUDGET = 120_000
#: Its static grid costs too much; its dynamic one does not.
QUIET = "layer3.conv"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("grids") / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


@pytest.fixture(scope="module")
def sensitivity(source) -> Sensitivity:
    table = synthetic_sensitivity(source)
    grids = (
        ActivationDivergence("static", 8, 7 * MAX_INPUT_DIVERGENCE, 0.001),
        ActivationDivergence("dynamic", 8, 0.5 * MAX_INPUT_DIVERGENCE, 0.001),
    )
    layers = [replace(row, activations=grids) if row.name == QUIET else row for row in table.layers]
    return replace(table, layers=tuple(layers))


def computes(source: Path, sensitivity: Sensitivity, *rules: str, **options) -> dict[str, str]:
    settings = QuantizeSettings(rules=tuple(map(LayerRule.parse, rules)))
    plan = optimal_plan(source, BUDGET, sensitivity, settings, **options).plan
    return {row.name: row.compute for row in plan.layers}


@pytest.mark.slow
def test_it_alone_gets_a_float_product_in_the_same_budget(source, sensitivity, clips, tmp_path):
    best = optimal_plan(source, BUDGET, sensitivity)
    rows = {row.name: row for row in best.plan.layers}
    assert {row.name for row in best.plan.layers if row.compute == "float32"} == {QUIET}
    assert rows[QUIET].bits < 32
    assert rows[QUIET].note == "float product: an integer input alone costs 0.07 nats"
    ruined = optimal_plan(source, BUDGET, sensitivity, max_input_divergence=float("inf"))
    assert best.divergence < ruined.divergence - 6 * MAX_INPUT_DIVERGENCE
    made = quantize_model(source, tmp_path / "user.onnx", best.plan, clips)
    assert made.size_bytes == best.size <= BUDGET
    assert {row.compute for row in made.plan.layers if row.name == QUIET} == {"float32"}


@pytest.mark.slow
def test_what_is_said_about_it_stands(source, sensitivity) -> None:
    assert computes(source, sensitivity, f"{QUIET}=@static")[QUIET] == "static"
    assert computes(source, sensitivity, "*=@dynamic")[QUIET] == "dynamic"
    assert computes(source, sensitivity, max_input_divergence=float("inf"))[QUIET] == "static"


def test_the_kernel_that_it_would_have_is_what_counts(source, sensitivity) -> None:
    layers = prepare(source, "static-int8").layers
    static, dynamic = QuantizeSettings(compute="static"), QuantizeSettings(compute="dynamic")
    assert costly_grids(sensitivity, static, layers) == {QUIET: 7 * MAX_INPUT_DIVERGENCE}
    assert costly_grids(sensitivity, dynamic, layers) == {}
    assert costly_grids(sensitivity, replace(static, exclude=(QUIET,)), layers) == {}
    # Of a grid that nobody measured nothing is known.
    assert costly_grids(sensitivity, replace(static, activation_bits=4), layers) == {}


def test_a_limit_on_latency_decides_over_kernels_itself(source, sensitivity) -> None:
    times = synthetic_times(sensitivity)
    found = computes(source, sensitivity, times=times, limit_ms=times.whole["static"] * 1.01)
    assert found[QUIET] == "static"
