"""What layers take on this host, and what a plan will take from that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from onnx import numpy_helper

from quantkit.calibration.data import CalibrationData
from quantkit.disk.files import sha256_of, write_json
from quantkit.errors import CorpusError, FormatError, InputError
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.plan import Plan
from quantkit.planning import latency, measure_latency
from quantkit.planning.latency import LayerTimes, read_layer_times, write_layer_times
from quantkit.planning.measure_latency import (
    attribute,
    measure_channel_times,
    measure_layer_times,
    typical_clip,
    within,
)
from quantkit.quantization.choices.settings import LayerRule, QuantizeSettings
from quantkit.quantization.kernels import fast_fir
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import PreparedModel
from quantkit.structure.channel_paths import channel_paths
from tests.quantization.kernels.test_fast_fir import CLIPS, two_convolutions

TIMES = LayerTimes(
    model_sha256="ab" * 32,
    host="a processor",
    onnxruntime="1.31.1",
    threads=1,
    clip_seconds=3.6,
    runs=15,
    layers={
        "first": {"float32": 4.0},
        "second": {"float32": 10.0, "static": 2.0, "dynamic": 3.0},
    },
    whole={"float32": 15.0, "static": 6.5, "dynamic": 9.0},
    processor_share=0.98,
)


def plan_of(source: Path, *rules: str) -> Plan:
    settings = QuantizeSettings(rules=tuple(map(LayerRule.parse, rules)))
    return prepare(source, settings).plan


@pytest.fixture
def times(source, clips) -> LayerTimes:
    return measure_layer_times(source, clips, runs=3)


def test_every_layer_is_timed_with_each_compute_it_can_have(times, source) -> None:
    assert list(times.layers) == [f"layer{i}.conv" for i in range(1, 7)]
    assert all(list(row) == ["float32", "static", "dynamic"] for row in times.layers.values())
    assert all(each > 0 for row in times.layers.values() for each in row.values())
    assert times.model_sha256 == sha256_of(source)
    assert 0 < times.processor_share <= 1


@pytest.mark.parametrize("compute", ["float32", "static", "dynamic"])
def test_layers_and_the_rest_add_up_to_the_whole(times, compute) -> None:
    own = sum(row[compute] for row in times.layers.values())
    assert 0 < own < times.whole[compute]
    parts = sum(times.milliseconds(name, compute) for name in times.layers)
    assert parts == pytest.approx(times.whole[compute])


@pytest.mark.parametrize("compute", ["static", "dynamic"])
def test_a_plan_with_one_compute_takes_what_was_measured(times, compute, source) -> None:
    plan = plan_of(source, f"*=bitplane:3@{compute}")
    assert times.predicted(plan) == pytest.approx(times.whole[compute])


def test_a_layer_that_no_integer_kernel_serves_is_timed_in_float_only(
    model, clips, tmp_path: Path
) -> None:
    # One input channel and 8 taps: too few inputs per output value.
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w1")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, :1], "w1"))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 1
    save_model(model, tmp_path / "narrow.onnx")
    narrow = [(name, inputs | {"features": inputs["features"][..., :1]}) for name, inputs in clips]
    times = measure_layer_times(tmp_path / "narrow.onnx", narrow, runs=2)
    assert list(times.layers["layer1.conv"]) == ["float32"]
    assert "static" in times.layers["layer2.conv"]


def test_each_layer_brings_its_share_of_what_lies_between_layers() -> None:
    assert TIMES.other("float32") == pytest.approx(1.0)
    # With static layers the first one is float32 still.
    assert TIMES.other("static") == pytest.approx(0.5)
    assert TIMES.milliseconds("second", "static") == pytest.approx(2.0 + 0.25)
    assert TIMES.milliseconds("first", "float32") == pytest.approx(4.0 + 0.5)


def test_what_was_not_timed_is_said() -> None:
    with pytest.raises(InputError, match="layer first was not timed with compute static, only"):
        TIMES.milliseconds("first", "static")
    with pytest.raises(InputError, match="layer third was not timed"):
        TIMES.milliseconds("third", "float32")


def test_grids_of_16_bits_take_what_the_float_kernel_takes(times, source) -> None:
    emulated = plan_of(source, "*=int8@static/16")
    assert times.predicted(emulated) == pytest.approx(times.whole["float32"])


def test_times_of_another_model_are_refused(source) -> None:
    with pytest.raises(FormatError, match="the layer times are of the model with"):
        TIMES.predicted(plan_of(source))


def test_the_file_says_all(tmp_path: Path) -> None:
    write_layer_times(TIMES, tmp_path / "times.json")
    assert read_layer_times(tmp_path / "times.json") == TIMES


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"schema": "quantkit.plan/1"}, "has schema 'quantkit.plan/1'"),
        ({"whole": {"float32": 1.0, "fast": 1.0}}, "whole: unknown field 'fast'"),
        ({"layers": {"first": {"static": 1.0}}}, "layers: first: float32 is missing"),
        ({"layers": {"first": {"float32": -1.0}}}, "float32 must be at least 0, not -1.0"),
        ({"layers": 3}, "layers must be a table of named values, not 3"),
        ({"threads": "many"}, "threads must be a whole number, not 'many'"),
        ({"threads": -1}, "threads must be at least 0, not -1"),
        ({"runs": -1}, "runs must be at least 0, not -1"),
        ({"clip_seconds": -1.0}, "clip_seconds must be at least 0, not -1.0"),
        ({"processor_share": -0.5}, "processor_share must be at least 0, not -0.5"),
    ],
)
def test_a_damaged_file_is_refused(damage, message, tmp_path: Path) -> None:
    write_json(tmp_path / "times.json", TIMES.to_json() | damage)
    with pytest.raises(FormatError, match=message):
        read_layer_times(tmp_path / "times.json")


@pytest.mark.parametrize(
    ("taken", "fitted"),
    [
        ({"a": 0.5, "b": 4.0}, {"a": 0.5, "b": 4.0}),  # there is room
        ({"a": 0.5, "b": 8.0, "c": 2.0}, {"a": 0.5, "b": 3.6, "c": 0.9}),  # long ones bear it
        ({"a": 1.0, "b": 1.0, "c": 0.5, "d": 0.5, "e": 7.0}, {"e": 2.0}),
        ({f"k{i}": 0.5 for i in range(20)}, {"k7": 0.25}),  # no long ones
    ],
)
def test_kernels_never_take_more_than_the_whole_run(taken, fitted) -> None:
    found = within(taken, 5.0)
    assert found.keys() == taken.keys()
    assert sum(found.values()) <= 5.0 + 1e-9
    assert {name: found[name] for name in fitted} == pytest.approx(fitted)


def test_nodes_made_for_a_layer_are_counted_to_it() -> None:
    taken = {
        "layer1.conv_token_5_nhwc": 1.0,  # the kernel, after fusions
        "layer1.conv/quantize": 2.0,  # a helper
        "layer1.mask": 4.0,
        "layer10.conv": 8.0,
        "logits": 16.0,  # a fused kernel that has the name of its result
        "": 32.0,
    }
    layers = {"layer1.conv": "layer1.conv", "layer10.conv": "layer10.conv", "logits": "last"}
    assert attribute(taken, layers) == {"layer1.conv": 3.0, "layer10.conv": 8.0, "last": 16.0}


def test_the_longest_name_owns_a_node() -> None:
    layers = {name: name for name in ("/encoder", "/encoder/MatMul")}
    taken = {"/encoder/MatMul/scales": 1.0, "/encoder/Mul": 2.0}
    assert attribute(taken, layers) == {"/encoder/MatMul": 1.0, "/encoder": 2.0}


def test_the_clip_of_median_length_is_run(clips) -> None:
    assert typical_clip(clips)["features"].shape[1] == 60
    assert typical_clip(clips[1:])["features"].shape[1] == 120
    with pytest.raises(CorpusError, match="at least one clip"):
        typical_clip([])


def test_a_number_of_runs_is_needed(source, clips) -> None:
    with pytest.raises(InputError, match="at least one run"):
        measure_layer_times(source, clips, runs=0)


def test_times_of_a_quiet_host_are_kept(source, clips, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(latency, "UNDISTURBED", 0.0)
    first = measure_layer_times(source, clips, runs=2, cache_folder=tmp_path / "cache")
    monkeypatch.setattr(
        measure_latency, "node_milliseconds", lambda *_, **__: pytest.fail("not cached")
    )
    assert measure_layer_times(source, clips, runs=2, cache_folder=tmp_path / "cache") == first


def test_disturbed_times_are_not_kept(source, clips, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(latency, "UNDISTURBED", 2.0)
    measure_layer_times(source, clips, runs=2, cache_folder=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_times_with_fewer_channels_are_of_half_of_them(source: Path, clips) -> None:
    whole = measure_layer_times(source, clips, runs=2)
    paths = channel_paths(PreparedModel(source).graph())
    (name, *_) = paths
    found = measure_channel_times(source, clips, [name], whole)
    assert found.counts == {name: paths[name].count(0.5)}
    assert found.cut.layers.keys() == whole.layers.keys()
    assert measure_channel_times(source, clips, [], whole).cut == whole


def test_a_kernel_for_fewer_bits_has_a_time_of_its_own_only_where_it_is_another() -> None:
    second = {**TIMES.layers["second"], "static/7": 1.5}
    times = replace(TIMES, layers={**TIMES.layers, "second": second})
    assert times.milliseconds("second", "static", 7) == pytest.approx(1.5 + 0.25)
    assert times.milliseconds("second", "static", 6) == times.milliseconds("second", "static")
    assert times.milliseconds("second", "dynamic", 7) == times.milliseconds("second", "dynamic")
    assert LayerTimes.from_json(times.to_json()) == times
    assert times.scaled(2.0).layers["second"]["static/7"] == 3.0
    with pytest.raises(InputError, match="not timed with compute static"):
        times.milliseconds("first", "static", 7)


def test_times_name_no_kernel_that_there_is_not() -> None:
    document = TIMES.to_json()
    document["layers"]["second"]["static/9"] = 1.0
    with pytest.raises(FormatError, match="static/9"):
        LayerTimes.from_json(document)


@pytest.mark.slow
def test_layers_that_fewer_bits_make_faster_are_timed_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_fir, "_FEWEST_WEIGHTS", 2000)
    monkeypatch.setattr(fast_fir, "_FEWEST_TAPS", 2)
    path = tmp_path / "float32.onnx"
    save_model(two_convolutions(), path)
    times = measure_layer_times(path, CalibrationData(CLIPS, ArtifactInfo()), runs=3)
    kernels = {name: set(row) - {"float32", "dynamic"} for name, row in times.layers.items()}
    assert kernels.pop("long") == {"static", "static/7", "static/6"}
    assert all(each <= {"static"} for each in kernels.values())
    assert set(times.whole) == {"float32", "static", "dynamic"}
