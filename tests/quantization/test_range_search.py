"""Searched ranges from a model's clips to its file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.calibration.observations import Observations
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.graph.artifact import read_info, save_model
from quantkit.graph.editor import GraphEditor
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.layers import find_layers
from quantkit.graph.plan import Plan
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import RANGES, LayerChoice
from quantkit.quantization.observe import observe
from quantkit.quantization.range_search import search_ranges

FOUR_BITS = CodecChoice.parse("bitplane:4")


def settings(**changes) -> QuantizeSettings:
    return replace(QuantizeSettings(compute="static", codec=FOUR_BITS), **changes)


def found(model: onnx.ModelProto, clips, asked: QuantizeSettings, weight_range="search"):
    """What is known before and after the search."""
    layers = find_layers(model)
    choices = asked.assign(layers)
    fitting = PtqSettings(weight_range=weight_range)
    seen = observe(model, layers, choices, clips, fitting)
    return seen, search_ranges(model, layers, choices, seen, fitting)


@pytest.fixture
def heads() -> onnx.ModelProto:
    """Queries, keys and values of one input, as MatMuls, and a Gemm that reads them."""
    random = np.random.default_rng(0)
    constants = {f"w{i}": random.standard_normal((24, 32)).astype(np.float32) for i in range(4)}
    constants["w3"] = random.standard_normal((8, 32)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", f"w{i}"], [f"y{i}"], f"head{i}") for i in range(3)]
    nodes += [
        helper.make_node("Sum", ["y0", "y1", "y2"], ["sum"], "sum"),
        helper.make_node("Relu", ["sum"], ["activated"], "relu"),
        helper.make_node("Gemm", ["activated", "w3"], ["y"], "out", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "heads",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["frames", 24])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["frames", 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    set_info(model, ArtifactInfo())
    return model


def frames(count: int = 300, seed: int = 0) -> list[tuple[str, dict[str, np.ndarray]]]:
    values = np.random.default_rng(seed).standard_normal((count, 24)).astype(np.float32) ** 3
    return [("clip", {"x": values})]


@pytest.mark.parametrize("method", RANGES)
def test_every_range_stays_close_to_float32(method, source, tmp_path, clips, run) -> None:
    asked = settings(range=method, codec=CodecChoice.parse("int8"))
    path = quantize_model(source, tmp_path / "q.onnx", asked, clips).path
    (reference,), (quantized,) = run(source, clips[:1]), run(path, clips[:1])
    assert 0 < np.abs(quantized - reference).mean() < 0.06
    label = "percentile 99.99" if method == "percentile" else method
    assert {row["range"] for row in read_info(path).plan["layers"]} == {label}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cosine", "hessian"])
@pytest.mark.parametrize("compute", ["static", "dynamic"])
def test_searched_steps_are_closer_than_unclipped_ones(
    method, compute, source, tmp_path, clips, run
) -> None:
    def error(weight_range: str) -> float:
        path = tmp_path / f"{weight_range}.onnx"
        fitting = PtqSettings(weight_range=weight_range)
        quantize_model(source, path, settings(compute=compute), clips, fitting=fitting)
        outputs = zip(run(path, clips), run(source, clips), strict=True)
        return float(np.mean([np.square(one - other).mean() for one, other in outputs]))

    assert error(method) < error("min-max")


def test_steps_without_clipping_need_no_audio(source, tmp_path) -> None:
    asked = settings(compute="dynamic")
    path = tmp_path / "q.onnx"
    quantize_model(source, path, asked, fitting=PtqSettings(weight_range="min-max"))
    model = onnx.load(source)
    weight = GraphEditor(model).array("w2")
    stored = GraphEditor(onnx.load(path))
    scale = stored.array("layer2.conv.weight_scale")
    expected = np.maximum(weight.max(axis=(1, 2)) / 7, weight.min(axis=(1, 2)) / -8)
    np.testing.assert_allclose(scale, expected, rtol=1e-6)


def test_layers_that_were_not_heard_leave_their_steps_to_the_codec(model) -> None:
    layers = find_layers(model)
    choices = settings(compute="dynamic").assign(layers)
    result = search_ranges(
        model, layers, choices, Observations(), PtqSettings(weight_range="cosine")
    )
    assert not result.scales


def test_ranges_only_shrink_and_others_stay(model, clips) -> None:
    before, after = found(model, clips, settings(range="hessian", activation_bits=4))
    assert before.ranges.keys() == after.ranges.keys()
    assert before.ranges != after.ranges
    for value, extremes in before.ranges.items():
        assert extremes.lowest <= after.ranges[value].lowest <= 0
        assert 0 <= after.ranges[value].highest <= extremes.highest
    assert not after.scales
    before, after = found(model, clips, settings(), "hessian")
    assert before.ranges == after.ranges
    assert {name: len(steps) for name, steps in after.scales.items()} == {
        layer.name: layer.shape[0] for layer in find_layers(model)
    }


def test_tables_of_levels_have_no_steps_but_their_inputs_have_ranges(model, clips) -> None:
    asked = settings(range="cosine", codec=CodecChoice.parse("grouped:3"), activation_bits=4)
    before, after = found(model, clips, asked, "cosine")
    assert before.ranges != after.ranges
    assert not after.scales


def test_one_range_for_all_heads(heads, tmp_path) -> None:
    before, after = found(heads, frames(), settings(range="hessian", activation_bits=3), "hessian")
    assert after.ranges.keys() == {"x", "activated"}
    assert after.ranges["x"].highest < before.ranges["x"].highest
    assert after.scales.keys() == {"head0", "head1", "head2", "out"}
    assert [len(after.scales[name]) for name in ("head0", "out")] == [32, 8]
    path = tmp_path / "float32.onnx"
    save_model(heads, path)
    asked = settings(range="hessian")
    result = quantize_model(path, tmp_path / "q.onnx", asked, frames())
    assert result.lint.integer_layers == 4


def test_the_same_clips_give_the_same_bytes_and_the_plan_repeats_them(
    source, tmp_path, clips
) -> None:
    asked, fitting = settings(range="cosine"), PtqSettings(weight_range="hessian")
    first = quantize_model(source, tmp_path / "1.onnx", asked, clips, fitting=fitting)
    document = json.loads(json.dumps(first.plan.to_json()))
    assert document["fitting"]["weight_range"] == "hessian"
    plan = Plan.from_json(document)
    assert {row.range for row in plan.layers} == {"cosine"}
    second = quantize_model(source, tmp_path / "2.onnx", plan, clips)
    assert first.path.read_bytes() == second.path.read_bytes()


@pytest.mark.parametrize("method", ["entropy", "cosine", "hessian"])
def test_one_clip_of_silence(method, source, tmp_path, run) -> None:
    silence = {"features": np.zeros((1, 50, 40), np.float32), "lengths": np.array([50])}
    fitting = PtqSettings(weight_range="hessian")
    asked = settings(range=method)
    path = quantize_model(
        source, tmp_path / "q.onnx", asked, [("silence", silence)], fitting=fitting
    ).path
    assert np.isfinite(run(path, [("silence", silence)])[0]).all()


def test_a_result_that_no_layer_reads_keeps_most_information() -> None:
    """A two-dimensional convolution's, which float nodes read."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["y"], "conv", kernel_shape=[3, 3]),
            helper.make_node("Softmax", ["y"], ["z"], "softmax"),
        ],
        "image",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", 20])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4, "h", 18])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    image = random.standard_normal((1, 3, 400, 20)).astype(np.float32) ** 3
    seen, after = found(model, [("image", {"x": image})], settings(range="hessian"))
    by_entropy, _ = found(model, [("image", {"x": image})], settings(range="entropy"))
    assert after.ranges["y"] == seen.ranges["y"] == by_entropy.ranges["y"]
    assert seen.ranges["x"].lowest < after.ranges["x"].lowest


def test_a_finer_grid_than_integers_know_is_searched_too(model, clips) -> None:
    _, after = found(model, clips, settings(range="hessian", activation_bits=16), "hessian")
    assert len(after.scales) == 6


@pytest.mark.parametrize("label", ["cosine 3", "kl", "Hessian"])
def test_range_that_does_not_exist(label: str) -> None:
    with pytest.raises(InputError, match="unknown range"):
        LayerChoice("static", FOUR_BITS, range=label)
