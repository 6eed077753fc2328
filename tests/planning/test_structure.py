"""Ranks are chosen where a latency needs them, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError
from quantkit.graph.artifact import save_model
from quantkit.graph.plan import Structure
from quantkit.planning.channel_times import ChannelTimes
from quantkit.planning.latency import LayerTimes, RankTimes
from quantkit.planning.optimal import Planner
from quantkit.planning.structure import choose_structure
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.table import RankDivergence, Sensitivity
from quantkit.structure.channel_paths import channel_paths
from quantkit.structure.layers import Splittable, splittable_layers
from tests.planning.synthetic import synthetic_sensitivity
from tests.small_model import masked_convolutions

BUDGET = 400_000
#: Layers as they are in the model of this width.
LAYERS = {"layer2.conv": Splittable(96, 96 * 7, 7), "layer3.conv": Splittable(96, 96 * 7, 7)}


def layer_times(layers: dict[str, float], other: float) -> LayerTimes:
    """Of layers that take as long in float and dynamic, four and two times as long as static."""
    factors = {"float32": 4.0, "static": 1.0, "dynamic": 2.0}
    rows = {name: {c: f * ms for c, f in factors.items()} for name, ms in layers.items()}
    whole = {c: other + f * sum(layers.values()) for c, f in factors.items()}
    return LayerTimes("", "a processor", "1.32", 1, 3.0, 15, rows, whole)


def times_of_ranks(source: Path) -> RankTimes:
    """Each layer takes 1 ms; split, as much as it multiplies; and 0.1 ms for each layer around."""
    names = [f"layer{i}.conv" for i in range(1, 7)]
    split = []
    for rank in (24, 48):
        layers = dict.fromkeys(names, 1.0)
        for name in LAYERS:
            layers[name + ".in"] = rank / 96
            layers[name] = rank / 96 / 7
        split.append((dict.fromkeys(LAYERS, Structure(rank)), layer_times(layers, 0.8)))
    whole = replace(layer_times(dict.fromkeys(names, 1.0), 0.6), model_sha256=sha256_of(source))
    return RankTimes(whole, tuple(split), LAYERS)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


@pytest.fixture
def sensitivity(source: Path) -> Sensitivity:
    """Ranks of the third layer cost a tenth of those of the second."""
    table = synthetic_sensitivity(source)
    factors = {"layer2.conv": 1.0, "layer3.conv": 0.1}
    rows = []
    for row in table.layers:
        factor = factors.get(row.name)
        ranks = () if factor is None else LAYERS[row.name].ranks
        found = tuple(RankDivergence(rank, 10.0 * (factor or 0) / rank, 0.1) for rank in ranks)
        rows.append(replace(row, ranks=found))
    return replace(table, layers=tuple(rows))


def chosen(source: Path, sensitivity: Sensitivity, limit_ms: float, **options):
    prepared, times = PreparedModel(source), times_of_ranks(source)
    settings = QuantizeSettings(compute="static")
    planner = Planner.of(prepared, sensitivity, settings, times=times.whole)
    feeds = CalibrationData([], prepared.info)
    return choose_structure(planner, sensitivity, times, BUDGET, limit_ms, feeds, **options)


def test_the_layers_are_those_of_the_model(source) -> None:
    found = splittable_layers(PreparedModel(source).graph())
    assert {name: found[name] for name in LAYERS} == LAYERS


def test_nothing_is_split_where_kernels_alone_are_fast_enough(source, sensitivity) -> None:
    found = chosen(source, sensitivity, 6.7)
    assert found.model.structure == {}
    assert found.divergence == 0.0


def test_the_layer_that_costs_least_is_split_and_no_more_than_needed(source, sensitivity) -> None:
    found = chosen(source, sensitivity, 6.2)
    (name,) = found.model.structure
    assert name == "layer3.conv"
    rank = found.model.structure[name].outputs
    assert found.divergence == pytest.approx(1.0 / rank)
    times = times_of_ranks(source)
    assert found.milliseconds(times.of(found.model.structure)) <= 6.2
    higher = min((each for each in LAYERS[name].ranks if each > rank), default=None)
    if higher is not None:
        assert times.of({name: Structure(higher)}).whole["static"] > 6.2


def test_a_shorter_limit_splits_more(source, sensitivity) -> None:
    assert set(chosen(source, sensitivity, 5.2).model.structure) == set(LAYERS)


def test_an_impossible_limit_names_the_fastest(source, sensitivity) -> None:
    with pytest.raises(
        InputError, match=r"no structure and kernels run in 1 ms .* the fastest take"
    ):
        chosen(source, sensitivity, 1.0)


def test_a_plan_without_ranks_stays_where_it_is_better(source, sensitivity) -> None:
    split = chosen(source, sensitivity, 6.2)
    planner = Planner.of(
        PreparedModel(source),
        sensitivity,
        QuantizeSettings(compute="static"),
        times=times_of_ranks(source).whole,
    )
    unsplit = planner.estimate(BUDGET, 6.7)
    assert unsplit is not None
    assert unsplit.divergence < split.divergence
    assert chosen(source, sensitivity, 6.2, unsplit=unsplit).model.structure == {}


def test_times_lie_on_a_line_between_the_measured_ranks(source) -> None:
    times = times_of_ranks(source)
    split = times.of({"layer3.conv": Structure(36)})
    assert split.layers["layer3.conv.in"]["static"] == pytest.approx(36 / 96)
    assert split.layers["layer3.conv"]["static"] == pytest.approx(36 / 96 / 7)
    assert split.layers["layer2.conv"] == times.whole.layers["layer2.conv"]
    # Six layers have 0.6 ms around them, and eight 0.8.
    assert split.other("static") == pytest.approx(0.7)


def test_parts_that_read_fewer_channels_take_less(source) -> None:
    times = times_of_ranks(source)
    split = times.of({"layer3.conv": Structure(36, 48)}).layers
    assert list(split)[2:5] == ["layer3.conv.first", "layer3.conv.in", "layer3.conv"]
    assert split["layer3.conv.in"]["static"] == pytest.approx(36 / 96 / 2)
    assert split["layer3.conv.first"]["static"] == pytest.approx(48 / 96 / 7)


@pytest.mark.parametrize("ranks", [Structure(36), Structure(0, 48), Structure(36, 48)])
def test_a_layer_is_reckoned_with_what_it_adds_to_the_whole(source, ranks) -> None:
    times = times_of_ranks(source)
    structure = {"layer3.conv": ranks}
    around = times.whole.other("static") / 6
    before = times.whole.layers["layer3.conv"]["static"] + around
    grown = times.of(structure).whole["static"] - times.whole.whole["static"]
    assert times.of_parts("layer3.conv", ranks, "static") == pytest.approx(before + grown)


def test_a_layer_that_was_not_timed_is_named(source) -> None:
    with pytest.raises(InputError, match=r"layer1\.conv was not timed with lower ranks"):
        times_of_ranks(source).of({"layer1.conv": Structure(24)})


def fewer_times(source: Path) -> ChannelTimes:
    """With half of its channels a layer takes half as long, and so does the one behind it."""
    whole = times_of_ranks(source).whole
    paths = {
        name: path
        for name, path in channel_paths(PreparedModel(source).graph()).items()
        if name in LAYERS
    }
    cut = dict.fromkeys(whole.layers, 1.0) | {"layer2.conv": 0.5, "layer3.conv": 0.25}
    cut["layer4.conv"] = 0.5
    return ChannelTimes(whole, layer_times(cut, 0.6), dict.fromkeys(paths, 48), paths)


def with_channels(table: Sensitivity, divergence: float) -> Sensitivity:
    """Channels of the second layer cost this where half of them are left, those of the third all
    that there is."""
    factors = {"layer2.conv": divergence, "layer3.conv": 1e3}
    rows = []
    for row in table.layers:
        counts = (48, 72) if row.name in factors else ()
        found = tuple(
            RankDivergence(count, factors[row.name] * (96 - count) / 48, 0.1) for count in counts
        )
        rows.append(replace(row, channels=found))
    return replace(table, layers=tuple(rows))


def test_channels_are_left_out_where_that_costs_less_than_a_rank(source, sensitivity) -> None:
    table = with_channels(sensitivity, 1e-4)
    found = chosen(source, table, 6.2, fewer=fewer_times(source))
    assert found.model.structure == {"layer2.conv": Structure(channels=72)}
    assert found.divergence == pytest.approx(0.5e-4)


def test_ranks_stay_where_channels_cost_more(source, sensitivity) -> None:
    table = with_channels(sensitivity, 1e3)
    found = chosen(source, table, 6.2, fewer=fewer_times(source))
    assert found.model.structure == chosen(source, sensitivity, 6.2).model.structure


def test_a_budget_counts_what_both_layers_save(source, sensitivity) -> None:
    table = with_channels(sensitivity, 1e-4)
    found = chosen(source, table, 5.7, fewer=fewer_times(source))
    assert found.model.structure == {"layer2.conv": Structure(channels=48)}
    # Two layers of half the products, and what is around them as before.
    assert found.milliseconds(fewer_times(source).cut) == pytest.approx(5.6 - 0.25 - 0.5)
