"""A model is split as far as a latency needs, by times that are measured again."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.graph.plan import Structure
from quantkit.personalization.pipeline import PersonalizeSettings, personalize
from quantkit.planning import fast_model as module
from quantkit.planning.channel_times import ChannelTimes
from quantkit.planning.fast_model import FastModel, LatencyRequest, fast_model
from quantkit.planning.latency import LayerTimes, RankTimes
from quantkit.quantization.choices.settings import LayerRule, QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.table import Sensitivity
from quantkit.structure.layers import splittable_layers
from tests.planning.test_structure import layer_times
from tests.small_model import masked_convolutions, noise_feeds, save_model

pytestmark = pytest.mark.slow

CODECS = tuple(map(CodecChoice.parse, ("bitplane:4", "int8")))
ANALYSIS = AnalysisSettings(
    metrics=(), divergence=DivergenceSettings(CODECS, weighting="uniform"), ranks=True
)
STATIC = QuantizeSettings(compute="static")
NAMES = [f"layer{i}.conv" for i in range(1, 7)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    path = tmp_path_factory.mktemp("fast") / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return PreparedModel(path)


@pytest.fixture(scope="module")
def feeds(prepared: PreparedModel) -> CalibrationData:
    return CalibrationData(noise_feeds(60, 201, 133, 120), prepared.info)


@pytest.fixture(scope="module")
def table(prepared: PreparedModel, feeds: CalibrationData) -> Sensitivity:
    return analyze(prepared, feeds, ANALYSIS)


def by_products(prepared: PreparedModel, ranks: dict[str, Structure]) -> LayerTimes:
    """Each layer takes as many milliseconds as its parts multiply of the whole, of 1."""
    layers = splittable_layers(prepared.whole.graph())
    times = {}
    for name in NAMES:
        split = ranks.get(name)
        if split is None:
            times[name] = 1.0
            continue
        layer, made = layers[name], split.outputs or layers[name].outputs
        read = split.inputs or layer.channels
        whole = layer.outputs * layer.inputs
        parts = {name: split.outputs * layer.outputs} if split.outputs else {}
        main = f"{name}.in" if split.outputs else name
        parts = {main: read * layer.taps * made, **parts}
        if split.inputs:
            parts = {f"{name}.first": split.inputs * layer.channels, **parts}
        times |= {part: products / whole for part, products in parts.items()}
    return layer_times(times, 0.1)


@pytest.fixture
def slower(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Times without a clock; split models take ``factor`` times as long as is reckoned."""
    said = {"factor": 1.0}

    def ranks(model, calibration, names, **options) -> RankTimes:
        layers = {n: s for n, s in splittable_layers(model.graph()).items() if n in names}
        pairs = [
            {n: Structure(s.nearest(share)) for n, s in layers.items()} for share in (0.3, 0.8)
        ]
        split = tuple((pair, by_products(model, pair)) for pair in pairs)
        whole = LayerTimes(**{**by_products(model, {}).__dict__, "model_sha256": model.sha256})
        return RankTimes(whole, split, layers)

    def split(model, calibration, whole, cache=None) -> LayerTimes:
        found = by_products(model, dict(model.structure)).scaled(said["factor"])
        return LayerTimes(**{**found.__dict__, "model_sha256": model.sha256})

    def channels(model, calibration, names, whole, cache=None) -> ChannelTimes:
        return ChannelTimes(whole, whole)

    monkeypatch.setattr(module, "measure_rank_times", ranks)
    monkeypatch.setattr(module, "measure_channel_times", channels)
    monkeypatch.setattr(module, "measure_split_times", split)
    return said


def fast(prepared, feeds, table, limit: str, settings: QuantizeSettings = STATIC) -> FastModel:
    request = LatencyRequest(limit, 400_000, settings, ANALYSIS)
    return fast_model(prepared, feeds, table, request)


def taken(found: FastModel) -> float:
    return found.times.whole["static"]


def test_the_split_model_is_analysed_and_keeps_to_the_limit(prepared, feeds, table, slower) -> None:
    found = fast(prepared, feeds, table, "4ms")
    assert found.model.structure
    assert 0.8 * found.limit_ms < taken(found) <= found.limit_ms == 4.0
    parts = {row.name for row in found.sensitivity.layers}
    assert len(parts) > len(table.layers)
    assert all(row.weights for row in found.sensitivity.layers)
    assert found.divergence > 0.0
    assert not found.any_compute


def test_a_share_is_of_the_float_model(prepared, feeds, table, slower) -> None:
    found = fast(prepared, feeds, table, "0.2x")
    assert found.limit_ms == pytest.approx(0.2 * (0.1 + 4 * 6))


def test_where_split_layers_are_slower_than_reckoned_lower_ranks_are_chosen(
    prepared, feeds, table, slower
) -> None:
    before = fast(prepared, feeds, table, "4ms")
    slower["factor"] = 1.2
    after = fast(prepared, feeds, table, "4ms")
    assert taken(after) <= 4.0
    assert after.divergence > before.divergence


def test_what_is_fast_enough_stays_whole(prepared, feeds, table, slower) -> None:
    found = fast(prepared, feeds, table, "0.9x")
    assert found.model is prepared
    assert found.sensitivity is table
    assert found.any_compute


def test_layers_that_rules_name_stay_whole(prepared, feeds, table, slower) -> None:
    assert "layer2.conv" in fast(prepared, feeds, table, "4ms").model.structure
    rules = (LayerRule.parse("layer2.conv=int8"),)
    settings = QuantizeSettings(compute="static", rules=rules, exclude=("layer4.conv",))
    found = fast(prepared, feeds, table, "8ms", settings).model.structure
    assert not {"layer2.conv", "layer4.conv"} & set(found)


def test_an_impossible_limit_is_refused(prepared, feeds, table, slower) -> None:
    with pytest.raises(InputError, match=r"no structure and kernels run in 0\.5 ms"):
        fast(prepared, feeds, table, "0.5ms")


def test_a_latency_that_is_none_is_refused_before_anything_is_heard(
    prepared, feeds, tmp_path: Path
) -> None:
    settings = PersonalizeSettings(STATIC, CODECS, max_latency="soon")
    with pytest.raises(InputError, match="latency 'soon' is not a time"):
        personalize(prepared, tmp_path / "user.onnx", feeds, 150_000, settings)


def test_personalizing_for_a_latency_writes_a_split_file(
    prepared, feeds, slower, tmp_path: Path
) -> None:
    settings = PersonalizeSettings(STATIC, CODECS, rounds=0, max_latency="4ms")
    made = personalize(prepared, tmp_path / "user.onnx", feeds, 150_000, settings)
    assert made.plan.structure
    assert made.size_bytes <= 150_000
    assert made.size_bytes == made.plan.predicted_bytes
    rows = {row.name for row in made.plan.layers}
    assert all(name in rows for name in made.plan.structure)
    assert made.summary.source_bytes == prepared.size_bytes
    assert made.divergence == pytest.approx(made.summary.predicted_divergence, rel=0.5)
