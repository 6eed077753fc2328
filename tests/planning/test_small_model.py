"""Layers get lower ranks where a budget of few bits a weight loses less with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.planning.best_plan import PlanLimits, best_plan, ranks_may_help
from quantkit.planning.small_model import BudgetRequest, has_few_bits, small_model
from quantkit.planning.structured import StructuredModel
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.settings import LayerRule, QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.sensitivity.table import Sensitivity
from tests.small_model import masked_convolutions, noise_feeds, save_model

pytestmark = pytest.mark.slow

CODECS = tuple(map(CodecChoice.parse, ("ternary", "bitplane:2", "bitplane:4", "int8")))
ANALYSIS = AnalysisSettings(
    metrics=(), divergence=DivergenceSettings(CODECS, weighting="uniform"), ranks=True
)
STATIC = QuantizeSettings(compute="static")
#: One of the layers whose weights have a low rank.
LOW = "layer3.conv"
RANK = 16
#: Some two bits a weight, and four.
FEW, ENOUGH = 68_000, 130_000


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    model = masked_convolutions(width=4)
    random = np.random.default_rng(1)
    for weight in model.graph.initializer:
        if weight.name in ("w2", "w3", "w4"):
            makes, reads, taps = weight.dims
            left, right = (makes, RANK), (RANK, reads * taps)
            product = random.standard_normal(left) @ random.standard_normal(right)
            product *= np.sqrt(2 / (reads * taps * RANK))
            whole = product.reshape(weight.dims).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(whole, weight.name))
    path = tmp_path_factory.mktemp("small") / "float32.onnx"
    save_model(model, path)
    return PreparedModel(path)


@pytest.fixture(scope="module")
def feeds(prepared: PreparedModel) -> CalibrationData:
    return CalibrationData(noise_feeds(160, 201, 133, 120), prepared.info)


@pytest.fixture(scope="module")
def table(prepared: PreparedModel, feeds: CalibrationData) -> Sensitivity:
    return analyze(prepared, feeds, ANALYSIS)


def small(
    prepared, feeds, table, budget: int, settings: QuantizeSettings = STATIC
) -> StructuredModel | None:
    return small_model(prepared, feeds, table, BudgetRequest(budget, settings, ANALYSIS))


def limits(budget: int) -> PlanLimits:
    return PlanLimits(budget, STATIC, ANALYSIS, rounds=0)


def weights(model: onnx.ModelProto) -> int:
    return sum(int(np.prod(each.dims)) for each in model.graph.initializer if len(each.dims) == 3)


def test_the_budgets_are_few_bits_and_enough(prepared) -> None:
    count = weights(onnx.load(prepared.source))
    assert 8 * FEW / count < 2.5 < 8 * ENOUGH / count
    assert has_few_bits(prepared, FEW)
    assert not has_few_bits(prepared, ENOUGH)


def test_ranks_are_analysed_where_they_may_help(prepared, feeds, table) -> None:
    assert ranks_may_help(prepared, FEW, None)
    assert not ranks_may_help(prepared, ENOUGH, None)
    assert ranks_may_help(prepared, ENOUGH, "0.5x")
    split = small(prepared, feeds, table, FEW)
    assert split is not None
    assert not ranks_may_help(split.model, FEW, "0.5x")


def test_a_layer_of_low_rank_is_split_within_few_bytes(prepared, feeds, table) -> None:
    found = small(prepared, feeds, table, FEW)
    assert found is not None
    assert LOW in found.model.structure
    assert found.divergence < 0.01
    names = {row.name for row in found.sensitivity.layers}
    assert {LOW, f"{LOW}.in"} <= names


def test_the_file_loses_less_than_with_fewer_bits_alone(
    prepared, feeds, table, tmp_path: Path
) -> None:
    found = {}
    for ranks in (True, False):
        rows = table if ranks else analyze(prepared, feeds, AnalysisSettings((), ranks=False))
        best = best_plan(prepared, feeds, rows, limits(FEW))
        path = tmp_path / f"{ranks}.onnx"
        quantize_model(best.model, path, best.correction.optimum.plan, feeds)
        assert path.stat().st_size <= FEW
        assert bool(best.correction.optimum.plan.structure) == ranks
        found[ranks] = model_divergence(prepared.source, path, feeds, weighting="uniform").mean
    assert found[True] < 0.7 * found[False]


def test_what_is_foretold_includes_the_divergence_of_the_ranks(prepared, feeds, table) -> None:
    best = best_plan(prepared, feeds, table, limits(FEW))
    split = small(prepared, feeds, table, FEW)
    assert split is not None
    assert best.correction.of_ranks == split.divergence
    tried = best.correction.measured
    assert tried is not None
    assert best.correction.foretold.mean == tried.mean + split.divergence


def test_all_layers_stay_whole_where_bits_alone_lose_less(prepared, feeds, table) -> None:
    assert small(prepared, feeds, table, 10 * ENOUGH) is None
    assert not best_plan(prepared, feeds, table, limits(10 * ENOUGH)).model.structure


def test_a_layer_that_a_rule_names_stays_whole(prepared, feeds, table) -> None:
    pinned = QuantizeSettings(
        compute="static", rules=(LayerRule(LOW, codec=CodecChoice.parse("ternary")),)
    )
    found = small(prepared, feeds, table, FEW, pinned)
    assert found is None or LOW not in found.model.structure


def test_a_table_without_ranks_leaves_all_layers_whole(prepared, feeds, table) -> None:
    rows = tuple(replace(row, ranks=(), input_ranks=(), channels=()) for row in table.layers)
    assert small(prepared, feeds, replace(table, layers=rows), FEW) is None
