"""Files for processors whose sums overflow: from the choice of a target to the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.plain import Int8
from quantkit.errors import InputError
from quantkit.graph.artifact import read_info, save_model
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.inspection import inspect_model
from quantkit.quantization.weights import WeightStore
from quantkit.runtime.hosts import hosts_of
from tests.recurrent_model import recurrent_recogniser
from tests.small_graphs import language_model

ANY, VNNI = PtqSettings(), PtqSettings(target_cpu="vnni")
SETTINGS = {
    "static": QuantizeSettings(compute="static"),
    "static, 8 bits packed": QuantizeSettings(
        compute="static", codec=CodecChoice.parse("bitplane:8")
    ),
    "static, tables": QuantizeSettings(compute="static", codec=CodecChoice.parse("grouped:6")),
    "dynamic": QuantizeSettings(compute="dynamic"),
    "dynamic, per clip": QuantizeSettings(compute="dynamic", dynamic_range="per-clip"),
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_any_processor_is_the_default(settings, source, clips, tmp_path: Path) -> None:
    made = quantize_model(source, tmp_path / "any.onnx", settings, clips)
    hosts = hosts_of(made.path)
    assert (hosts.overflowing, hosts.largest_level) == ((), 64)
    assert made.plan.fitting["target_cpu"] == "any"
    free = quantize_model(source, tmp_path / "vnni.onnx", settings, clips, fitting=VNNI)
    assert hosts_of(free.path).largest_level > 64
    assert "target_cpu" not in free.plan.fitting


@pytest.mark.parametrize("weight_range", ["min-max", "cosine", "hessian"])
def test_steps_that_are_searched_by_the_output_keep_to_it(
    weight_range, source, clips, tmp_path: Path
) -> None:
    fitting = PtqSettings(weight_range=weight_range)
    made = quantize_model(source, tmp_path / "q.onnx", "static-int8", clips, fitting=fitting)
    assert hosts_of(made.path).largest_level == 64
    # The outermost weight lies on the outermost level, and is not cut off there.
    stored = hosts_of(made.path).layers
    assert all(layer.largest_level > 60 for layer in stored)


def test_float_kernels_have_all_levels(source, clips, tmp_path: Path) -> None:
    settings = QuantizeSettings(
        compute="static", rules=(LayerRule.parse("layer3.conv=int8@float32"),)
    )
    path = quantize_model(source, tmp_path / "q.onnx", settings, clips).path
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.startswith("layer3.conv") and tensor.data_type == onnx.TensorProto.INT8
    ]
    assert max(int(np.abs(each.astype(int)).max()) for each in weights) > 64
    assert hosts_of(path).overflowing == ()


def test_both_weights_of_an_lstm_keep_to_it(tmp_path: Path) -> None:
    save_model(recurrent_recogniser(), tmp_path / "f.onnx")
    for fitting, largest in ((ANY, 64), (VNNI, 127)):
        path = tmp_path / f"{fitting.target_cpu}.onnx"
        quantize_model(tmp_path / "f.onnx", path, "int8", fitting=fitting)
        found = {each.kernel: each.largest_level for each in hosts_of(path).layers}
        assert found["DynamicQuantizeLSTM"] == largest


def test_a_weight_that_is_looked_up_and_multiplied_is_stored_once(tmp_path: Path) -> None:
    onnx.save(language_model("transpose"), tmp_path / "f.onnx")
    settings = QuantizeSettings(compute="dynamic")
    sizes = []
    for fitting in (ANY, VNNI):
        path = tmp_path / f"{fitting.target_cpu}.onnx"
        sizes.append(
            quantize_model(tmp_path / "f.onnx", path, settings, fitting=fitting).size_bytes
        )
    assert hosts_of(tmp_path / "any.onnx").overflowing == ()
    assert abs(sizes[0] - sizes[1]) < 100


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_sizes_are_foretold(settings, source, clips, tmp_path: Path) -> None:
    plan = with_sizes(source, settings)
    assert plan.fitting["target_cpu"] == "any"
    made = quantize_model(source, tmp_path / "q.onnx", plan, clips)
    assert made.size_bytes == plan.predicted_bytes


def test_a_plan_without_a_target_gives_the_bytes_that_it_gave(
    source, clips, tmp_path: Path
) -> None:
    plan = with_sizes(source, "static-int8", fitting=VNNI)
    fitting = {key: value for key, value in plan.fitting.items() if key != "target_cpu"}
    before = replace(plan, fitting=fitting)
    made = quantize_model(source, tmp_path / "q.onnx", before, clips)
    assert hosts_of(made.path).largest_level == 127


def test_compensation_makes_good_what_the_levels_cost(source, clips, run, tmp_path: Path) -> None:
    """Half the levels double the error; fitted to what they meet, they lose little of it."""
    exact = np.concatenate(run(source, clips))

    def error(name: str, fitting: PtqSettings) -> float:
        settings = QuantizeSettings(compute="dynamic")
        path = tmp_path / f"{name}.onnx"
        quantize_model(source, path, settings, clips, fitting=fitting)
        return float(np.square(np.concatenate(run(path, clips)) - exact).mean())

    nearest = error("nearest", PtqSettings(rounding="nearest"))
    assert error("fitted", ANY) < 0.8 * nearest


@dataclass(frozen=True)
class _Careless(Int8):
    """As a codec of another package, which knows nothing of limits."""

    def encode(self, weight):
        return super().encode(replace(weight, largest_level=None))


def test_a_codec_that_goes_beyond_is_refused() -> None:
    weights = WeightStore({"layer": _Careless()}, largest_levels={"layer": 64})
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 16)
    with pytest.raises(InputError, match=r"levels up to 12\d.*--target-cpu vnni"):
        weights.encode("layer", values, 0)


def test_inspection_shows_target_and_processors(source, clips, tmp_path: Path) -> None:
    path = quantize_model(source, tmp_path / "q.onnx", "static-int8", clips).path
    inspection = inspect_model(path)
    assert (inspection.target_cpu, inspection.hosts) == ("any", hosts_of(path))
    assert inspection.to_json()["hosts"]["exact_on"] == ["any", "avx2", "vnni", "arm"]
    assert read_info(path).plan["fitting"]["target_cpu"] == "any"
    assert inspect_model(source).hosts.layers == ()
