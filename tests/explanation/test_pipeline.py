"""Known damage is found: in the weights of a layer, in the inputs of one, and in its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.explanation.pipeline import explain_model
from quantkit.explanation.result import Explanation
from quantkit.graph.artifact import save_model
from quantkit.graph.info import info_of, set_info
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerRule, QuantizeSettings
from quantkit.quantization.choices.structure_rules import ChannelRule, RankRule
from quantkit.quantization.prepared import PreparedModel
from tests.small_model import masked_convolutions, noise_feeds

pytestmark = pytest.mark.slow

DAMAGED = "layer3.conv"
RULES = {
    "weights": LayerRule(DAMAGED, codec=CodecChoice.parse("bitplane:1")),
    "inputs": LayerRule(DAMAGED, activation_bits=3),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    path = tmp_path_factory.mktemp("explained") / "float32.onnx"
    save_model(masked_convolutions(), path)
    return PreparedModel(path)


@pytest.fixture(scope="module")
def feeds(prepared: PreparedModel) -> CalibrationData:
    return CalibrationData(noise_feeds(60, 201, 133, 120, seed=1), prepared.info)


def quantized(prepared, feeds, path: Path, *rules: LayerRule) -> Path:
    settings = QuantizeSettings(compute="static", rules=rules)
    return quantize_model(prepared.source, path, settings, feeds).path


@pytest.fixture(scope="module", params=RULES)
def damage(request, prepared, feeds, tmp_path_factory) -> tuple[str, Explanation]:
    path = tmp_path_factory.mktemp("damaged") / "damaged.onnx"
    quantized(prepared, feeds, path, RULES[request.param])
    return request.param, explain_model(prepared, path, feeds, weighting="uniform")


def test_the_culprit_is_named_first(damage) -> None:
    part, found = damage
    worst, second = found.worst[:2]
    assert worst.name == DAMAGED
    assert worst.restored > 5 * second.restored
    lost = {"weights": worst.weights, "inputs": worst.inputs}
    (other,) = lost.keys() - {part}
    assert lost[part] > 10 * lost[other]


def test_a_layer_given_back_and_alone_cost_about_as_much_as_the_file_loses(damage) -> None:
    _, found = damage
    worst = found.worst[0]
    assert found.simulated is not None
    assert found.divergence.mean == pytest.approx(found.simulated.mean, rel=0.1)
    assert worst.restored == pytest.approx(found.divergence.mean, rel=0.2)
    assert worst.alone == pytest.approx(worst.restored, rel=0.2)
    assert not found.warnings


def test_the_remedy_is_for_the_part_that_is_damaged_and_was_tried(damage) -> None:
    part, found = damage
    best = found.remedies[0]
    assert best.layer == DAMAGED
    if part == "weights":
        assert best.option == f"{DAMAGED}=bitplane:2"
        assert best.more_bytes == 24 * 24 * 7 // 8
    else:
        assert best.option == f"{DAMAGED}=int8@static/8"
        assert best.more_bytes == 0
    assert found.simulated is not None
    assert 0.3 * found.simulated.mean < best.gain < found.simulated.mean


def test_the_option_of_a_remedy_does_what_is_said(damage, prepared, feeds, tmp_path) -> None:
    part, found = damage
    best = found.remedies[0]
    path = tmp_path / "better.onnx"
    quantized(prepared, feeds, path, RULES[part], LayerRule.parse(best.option))
    better = explain_model(prepared, path, feeds, weighting="uniform")
    assert better.divergence.mean == pytest.approx(
        found.divergence.mean - best.gain, abs=0.03 * best.gain
    )


def test_clips_are_told_apart_the_worst_first(damage) -> None:
    _, found = damage
    divergences = [each.divergence for each in found.clips]
    assert divergences == sorted(divergences, reverse=True)
    assert {each.clip for each in found.clips} == {f"clip{i}" for i in range(4)}
    (whole,) = found.slices
    assert (whole.by, whole.clips) == ("all", 4)
    assert whole.divergence.mean == found.divergence.mean


def test_the_json_has_every_layer_with_what_the_plan_says_of_it(damage) -> None:
    part, found = damage
    document = found.to_dict()
    first = document["layers"][0]
    assert first["name"] == DAMAGED
    assert (first["bits"], first["activation_bits"]) == ((1, 8) if part == "weights" else (8, 3))
    assert len(document["layers"]) == 6
    assert len(document["clips"]) == 4


def test_a_file_of_another_model_is_refused(prepared, feeds, tmp_path) -> None:
    other = tmp_path / "other.onnx"
    save_model(masked_convolutions(seed=5), other)
    path = quantize_model(other, tmp_path / "int8.onnx", "static-int8", feeds).path
    with pytest.raises(InputError, match=r"was not made from .*float32\.onnx: its plan is of the"):
        explain_model(prepared, path, feeds)


def test_a_float_file_is_refused(prepared, feeds, tmp_path) -> None:
    path = tmp_path / "all-float.onnx"
    quantize_model(prepared.source, path, QuantizeSettings(exclude=("*",)), feeds)
    with pytest.raises(InputError, match="is not quantized"):
        explain_model(prepared, path, feeds)


def test_damage_to_the_numbers_of_a_file_is_found_in_them(prepared, feeds, tmp_path) -> None:
    path = quantized(prepared, feeds, tmp_path / "int8.onnx")
    model = onnx.load(path)
    (scale,) = [
        each
        for each in model.graph.initializer
        if each.name.startswith(f"{DAMAGED}") and each.name.endswith("scale")
    ][:1]
    values = numpy_helper.to_array(scale) * np.float32(1.5)
    scale.CopyFrom(numpy_helper.from_array(values, scale.name))
    save_model(model, path)
    found = explain_model(prepared, path, feeds, weighting="uniform")
    worst, second = found.worst[:2]
    assert worst.name == DAMAGED
    assert worst.weights > 10 * worst.inputs
    assert worst.restored > 5 * second.restored
    assert found.simulated is not None
    assert found.simulated.mean == pytest.approx(found.divergence.mean, rel=0.05)
    assert not found.warnings


def test_a_file_is_told_with_the_ranges_that_it_has(prepared, feeds, tmp_path) -> None:
    quiet = [(clip, {**values, "features": values["features"] / 4}) for clip, values in feeds]
    path = quantized(prepared, CalibrationData(quiet, prepared.info), tmp_path / "quiet.onnx")
    found = explain_model(prepared, path, feeds, weighting="uniform")
    assert found.simulated is not None
    assert found.simulated.mean == pytest.approx(found.divergence.mean, rel=0.05)
    own = explain_model(
        prepared, quantized(prepared, feeds, tmp_path / "own.onnx"), feeds, weighting="uniform"
    )
    assert found.divergence.mean > 20 * own.divergence.mean
    ranges = {each.name: each.input_range for each in own.layers}
    for layer in found.layers:
        narrow, wide = layer.input_range, ranges[layer.name]
        assert narrow is not None
        assert wide is not None
        assert narrow[1] < wide[1] / 2
    assert sum(each.inputs for each in found.layers) > 10 * sum(e.weights for e in found.layers)
    assert not found.warnings


@pytest.mark.parametrize("codec", ["bitplane:1", "bitplane:2", "rice:2.5", "grouped:3"])
def test_few_bits_lose_on_other_clips_what_the_layers_foretell(
    prepared, feeds, tmp_path, codec
) -> None:
    rule = LayerRule(DAMAGED, codec=CodecChoice.parse(codec))
    path = quantized(prepared, feeds, tmp_path / "few.onnx", rule)
    others = CalibrationData(noise_feeds(160, 97, 140, seed=9), prepared.info)
    found = explain_model(prepared, path, others, weighting="uniform")
    assert found.simulated is not None
    assert found.simulated.mean == pytest.approx(found.divergence.mean, rel=0.02)
    assert found.worst[0].name == DAMAGED
    assert all(each.from_file for each in found.layers)


FITTINGS = {
    "equalized": PtqSettings(equalization=True),
    "corrected by nothing": PtqSettings(bias_correction=False, rounding="nearest"),
}


@pytest.mark.parametrize("name", FITTINGS)
def test_factors_that_moved_between_layers_cost_nothing(prepared, feeds, tmp_path, name) -> None:
    path = tmp_path / "fitted.onnx"
    quantize_model(prepared.source, path, "static-int8", feeds, fitting=FITTINGS[name])
    others = CalibrationData(noise_feeds(160, 97, seed=9), prepared.info)
    found = explain_model(prepared, path, others, weighting="uniform")
    assert found.simulated is not None
    assert found.simulated.mean == pytest.approx(found.divergence.mean, rel=0.1)
    assert max(each.weights for each in found.layers) < 0.01


def test_lower_ranks_and_fewer_channels_are_those_of_the_file(tmp_path) -> None:
    source = tmp_path / "float32.onnx"
    save_model(masked_convolutions(width=4), source)
    whole = PreparedModel(source)
    settings = QuantizeSettings(
        compute="static",
        codec=CodecChoice.parse("bitplane:5"),
        ranks=(RankRule.parse("layer3.conv=1/4"),),
        channels=(ChannelRule.parse("layer4.conv=3/4"),),
    )
    path = tmp_path / "ranks.onnx"
    clips = CalibrationData(noise_feeds(60, 201, seed=1), whole.info)
    quantize_model(source, path, settings, clips)
    others = CalibrationData(noise_feeds(160, 97, seed=9), whole.info)
    found = explain_model(whole, path, others, weighting="uniform")
    assert found.simulated is not None
    assert found.structure > 0.01
    assert found.simulated.mean + found.structure == pytest.approx(found.divergence.mean, rel=0.3)
    parts = {each.name: each for each in found.layers}
    # What has no float form but the file's own loses nothing by its weights.
    assert parts["layer3.conv"].weights == parts["layer3.conv.in"].weights == 0
    assert parts["layer4.conv"].weights == parts["layer5.conv"].weights == 0
    assert parts["layer2.conv"].weights > 0


def test_a_file_without_a_plan_is_told_by_what_lies_in_it(prepared, feeds, tmp_path) -> None:
    path = quantized(prepared, feeds, tmp_path / "int8.onnx", RULES["weights"])
    planned = explain_model(prepared, path, feeds, weighting="uniform")
    model = onnx.load(path)
    set_info(model, replace(info_of(model), plan=None))
    save_model(model, path)
    found = explain_model(prepared, path, feeds, weighting="uniform")
    assert any("does not say how it was made" in each for each in found.warnings)
    assert found.worst[0].name == DAMAGED
    assert {e.name: e.weights for e in found.layers} == {e.name: e.weights for e in planned.layers}
    assert found.worst[0].restored == pytest.approx(planned.worst[0].restored, rel=0.05)
