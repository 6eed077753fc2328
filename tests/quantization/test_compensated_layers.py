"""Compensated rounding in each kind of layer: the matrix fits the weight as the kernel reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import load_model, total_size
from quantkit.graph.editor import GraphEditor, name_all_nodes
from quantkit.graph.layers import find_layers
from quantkit.graph.operators import layer_weights
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.observe import observe
from quantkit.quantization.weights import quantized_weight
from quantkit.runtime.session import create_session
from tests.quantization.test_layer_forms import single_layer
from tests.quantization.test_tied_weights import FORMS, IDS, SETTINGS, written
from tests.small_model import Clip

NEAREST = PtqSettings(rounding="nearest")
COMPENSATED = PtqSettings(rounding="compensated")

# Operator, shape of the input, shape of the weight, outputs with a bias, attributes.
CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], int, dict[str, Any]]] = {
    "wide": ("Conv", (1, 20, 400), (16, 20, 7), 16, {"pads": [3, 3]}),
    "strided": ("Conv", (1, 20, 401), (16, 20, 8), 0, {"pads": [3, 3], "strides": [2]}),
    "dilated": ("Conv", (1, 20, 400), (9, 20, 3), 0, {"dilations": [4], "pads": [2, 5]}),
    "grouped": ("Conv", (1, 32, 400), (32, 8, 9), 32, {"group": 4, "pads": [4, 4]}),
    "image": ("Conv", (1, 8, 30, 30), (16, 8, 3, 3), 16, {"pads": [1, 1, 1, 1]}),
    "matrix product": ("MatMul", (2, 200, 32), (32, 24), 0, {}),
    "general": ("Gemm", (400, 32), (24, 32), 24, {"transB": 1}),
}


def speech_like(shape: tuple[int, ...], axis: int, seed: int = 0) -> np.ndarray:
    """Few causes for many channels, and slow from frame to frame."""
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape)
    channels = values.shape[axis]
    causes = random.standard_normal((channels, 4)) @ random.standard_normal((4, channels))
    values = np.moveaxis(np.tensordot(causes, values, (1, axis)), 0, axis)
    if values.ndim > 2 and axis == 1:
        values = np.cumsum(values, axis=-1)
        values -= values.mean(axis=-1, keepdims=True)
    values += 0.3 * values.std() * random.standard_normal(shape)
    return (values / values.std()).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("compute", ["static", "dynamic", "float32"])
def test_each_layer_says_more_nearly_what_it_said(case, compute, tmp_path: Path) -> None:
    op, shape, weight, bias, attributes = CASES[case]
    source = tmp_path / "float32.onnx"
    onnx.save(single_layer(op, shape, weight, bias, **attributes), source)
    axis = 1 if op == "Conv" else -1
    x = speech_like(shape, axis % len(shape))
    (expected,) = create_session(source).run(["y"], {"x": x})
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse("bitplane:3"))

    def error(fitting: PtqSettings) -> float:
        path = tmp_path / f"{fitting.rounding}.onnx"
        result = quantize_model(source, path, settings, [("x", {"x": x})], fitting=fitting)
        assert result.layers[0].codec == "bitplane"
        (found,) = create_session(path).run(["y"], {"x": x})
        return float(np.square(found - expected).mean())

    assert error(COMPENSATED) < 0.6 * error(NEAREST)


@pytest.mark.parametrize("case", ["matrix product", "general"])
def test_so_do_blocks(case, tmp_path: Path) -> None:
    op, shape, weight, bias, attributes = CASES[case]
    source = tmp_path / "float32.onnx"
    onnx.save(single_layer(op, shape, weight, bias, **attributes), source)
    x = speech_like(shape, len(shape) - 1)
    (expected,) = create_session(source).run(["y"], {"x": x})
    settings = QuantizeSettings(
        compute="matmul-nbits", codec=CodecChoice.parse("blocks:2,block_size=16")
    )
    errors = []
    for fitting in (COMPENSATED, NEAREST):
        path = tmp_path / f"{fitting.rounding}.onnx"
        quantize_model(source, path, settings, [("x", {"x": x})], fitting=fitting)
        (found,) = create_session(path).run(["y"], {"x": x})
        errors.append(float(np.square(found - expected).mean()))
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.slow
@pytest.mark.parametrize("compute", ["static", "dynamic", "float32"])
def test_a_whole_model_is_nearer_to_the_float_one(compute, source, clips, run, tmp_path) -> None:
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse("codebook:3"))
    expected = np.concatenate(run(source, clips))
    errors = []
    for fitting in (COMPENSATED, NEAREST):
        path = tmp_path / f"{fitting.rounding}.onnx"
        quantize_model(source, path, settings, clips, fitting=fitting)
        errors.append(float(np.square(np.concatenate(run(path, clips)) - expected).mean()))
    assert errors[0] < errors[1]


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["bitplane:3", "codebook:2", "sparse:3,keep=30"])
def test_neither_size_nor_kernels_depend_on_it(codec, source, clips, tmp_path: Path) -> None:
    settings = QuantizeSettings(compute="static", codec=CodecChoice.parse(codec))
    sizes, kernels = set(), set()
    for fitting in (COMPENSATED, NEAREST):
        path = tmp_path / f"{fitting.rounding}.onnx"
        result = quantize_model(source, path, settings, clips, fitting=fitting)
        operators = sorted(node.op_type for node in load_model(path).graph.node)
        sizes.add(total_size(path) - len(json.dumps(dict(result.plan.fitting))))
        kernels.add(tuple(operators))
    assert len(kernels) == 1
    # What the plan says of the fitting is in the file, too.
    assert len(sizes) == 1


def test_the_same_clips_give_the_same_file(source, clips, tmp_path: Path) -> None:
    settings = QuantizeSettings(compute="static", codec=CodecChoice.parse("codebook:2"))
    for name in ("one", "other"):
        quantize_model(source, tmp_path / name, settings, clips, fitting=COMPENSATED)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", ["weights only", "static, codebook", "blocks"])
def test_shared_weight_is_still_stored_once(form, case, tmp_path: Path) -> None:
    source = written(form, tmp_path)
    feeds = [("x", {"ids": IDS})]
    sizes = []
    for fitting in (COMPENSATED, NEAREST):
        path = tmp_path / f"{fitting.rounding}.onnx"
        result = quantize_model(source, path, SETTINGS[case], feeds, fitting=fitting)
        sizes.append(result.size_bytes - len(json.dumps(dict(result.plan.fitting))))
    assert sizes[0] == sizes[1]


def test_equal_weights_that_meet_different_inputs_are_rounded_apart() -> None:
    """Too small to be shared, so that neither speaks for the other."""
    weight = np.random.default_rng(0).standard_normal((16, 16)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", [value, "w"], [f"{value}.y"], value) for value in ("a", "b")
    ]
    free = ["frames", 16]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "twins",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, free) for n in ("a", "b")],
            [helper.make_tensor_value_info(f"{n}.y", TensorProto.FLOAT, None) for n in ("a", "b")],
            [numpy_helper.from_array(weight, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    name_all_nodes(model)
    inputs = {name: speech_like((300, 16), 1, seed) for seed, name in enumerate(("a", "b"))}
    feeds: list[Clip] = [("clip", inputs)]
    codec = CodecChoice.parse("bitplane:2")
    choices = dict.fromkeys(("a", "b"), LayerChoice("float32", codec))
    observations = observe(model, find_layers(model), choices, feeds, COMPENSATED)
    rounded = {
        name: quantized_weight(weight, codec, observations, COMPENSATED)
        for name, weight in layer_weights(GraphEditor(model)).items()
    }
    for own, other in (("a", "b"), ("b", "a")):
        errors = [np.square(inputs[own] @ (rounded[name] - weight)).mean() for name in (own, other)]
        assert errors[0] < 0.5 * errors[1]
