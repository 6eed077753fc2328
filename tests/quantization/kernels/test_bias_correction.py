"""Biases take up what rounded weights add on average, wherever an exporter wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from quantkit.codecs.base import Encoded
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import save_model
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.kernels.bias_correction import corrected_bias
from quantkit.runtime.session import create_session
from tests.small_graphs import CHANNELS, Graph, run

RANDOM = np.random.default_rng(8)
#: Positive on average, as behind a ReLU: only then is there something to correct.
CLIP = np.abs(RANDOM.standard_normal((1, 400, CHANNELS))).astype(np.float32)
KINDS = {
    "static": QuantizeSettings("static", compute="static", codec=CodecChoice.parse("bitplane:3")),
    "dynamic": QuantizeSettings(
        "dynamic", compute="dynamic", codec=CodecChoice.parse("bitplane:3")
    ),
    "dynamic per clip": QuantizeSettings(
        "per clip",
        compute="dynamic",
        dynamic_range="per-clip",
        codec=CodecChoice.parse("bitplane:3"),
    ),
    "weight only": QuantizeSettings(
        "weight only", compute="float32", codec=CodecChoice.parse("bitplane:3")
    ),
    "emulated": QuantizeSettings(
        "emulated", compute="static", activation_bits=16, codec=CodecChoice.parse("bitplane:3")
    ),
    "blocks": QuantizeSettings(
        "blocks", compute="matmul-nbits", codec=CodecChoice.parse("blocks:2,block_size=16")
    ),
}


def product(form: str) -> onnx.ModelProto:
    """One layer with a bias.

    Args:
        form: ``after`` or ``before`` for an ``Add`` with the bias as second or first operand,
            ``row`` for one of shape (1, 1, channels), ``gemm``, or ``none`` for no bias.
    """
    graph = Graph()
    weight = graph.weight("w", CHANNELS, 24)
    shape = (1, 1, 24) if form == "row" else (24,)
    graph.constant("b", graph.random.uniform(-1, 1, shape).astype(np.float32))
    if form == "none":
        graph.add("MatMul", ["x", weight], "y")
    elif form == "gemm":
        flat = graph.add("Reshape", ["x", graph.constant("rows", [-1, CHANNELS])], "flat")
        graph.add("Gemm", [flat, weight, "b"], "y")
    else:
        graph.add("MatMul", ["x", weight], "layer")
        graph.add("Add", ["b", "layer"] if form == "before" else ["layer", "b"], "y")
    return graph.model("y")


def drift(model: onnx.ModelProto, kind: str, folder: Path, *, correct: bool) -> float:
    """Mean over channels of how far the average result has moved."""
    save_model(model, folder / "f.onnx")
    clips = [("clip", {"x": CLIP})]
    fitting = PtqSettings(bias_correction=correct)
    result = quantize_model(
        folder / "f.onnx", folder / "q.onnx", KINDS[kind], clips, fitting=fitting
    )
    (found,) = create_session(result.path).run(None, {"x": CLIP})
    difference = (found - run(model, CLIP)).reshape(-1, found.shape[-1])
    return float(np.abs(difference.mean(axis=0)).mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["after", "before", "row", "gemm"])
def test_average_result_stays_where_it_was(kind: str, form: str, tmp_path: Path) -> None:
    model = product(form)
    before = drift(model, kind, tmp_path, correct=False)
    assert drift(model, kind, tmp_path, correct=True) < 0.1 * before


def test_product_without_bias_is_left_alone(tmp_path: Path) -> None:
    model = product("none")
    plain = drift(model, "dynamic", tmp_path, correct=False)
    assert drift(model, "dynamic", tmp_path, correct=True) == plain > 0


def test_sum_that_is_no_bias_is_left_alone(tmp_path: Path) -> None:
    """A product that is read twice, and a constant per frame."""
    graph = Graph()
    graph.add("MatMul", ["x", graph.weight("w", CHANNELS, CHANNELS)], "layer")
    graph.add("Add", ["layer", graph.constant("b", np.ones(CHANNELS, np.float32))], "sum")
    graph.add("Mul", ["sum", "layer"], "y")
    twice = graph.model("y")
    graph = Graph()
    graph.add("MatMul", ["x", graph.weight("w", CHANNELS, CHANNELS)], "layer")
    graph.add("Add", ["layer", graph.constant("b", np.ones((400, 1), np.float32))], "y")
    for model in (twice, graph.model("y")):
        plain = drift(model, "dynamic", tmp_path, correct=False)
        assert drift(model, "dynamic", tmp_path, correct=True) == plain > 0


def test_correction_is_the_mean_error() -> None:
    weight = RANDOM.standard_normal((5, 3)).astype(np.float32)
    encoded = Encoded(np.rint(weight).astype(np.int8), np.ones(3, np.float32), 1, ())
    inputs = RANDOM.uniform(0, 1, (1000, 5)).astype(np.float32)
    bias, means = np.zeros(3, np.float32), inputs.mean(axis=0).reshape(-1, 1)
    corrected = corrected_bias(bias, weight, encoded, means)
    results = (inputs @ weight).mean(axis=0)
    rounded = (inputs @ encoded.dequantized() + corrected).mean(axis=0)
    np.testing.assert_allclose(rounded, results, atol=1e-5)
    np.testing.assert_array_equal(corrected_bias(bias, weight, encoded, None), bias)


@pytest.mark.parametrize("kind", KINDS)
def test_biases_that_were_one_take_the_space_that_was_foreseen(kind: str, tmp_path: Path) -> None:
    """An untrained model has one vector of zeros for all its biases."""
    graph = Graph()
    zeros = graph.constant("zeros", np.zeros(CHANNELS, np.float32))
    value = "x"
    for number in range(3):
        weight = graph.weight(f"w{number}", CHANNELS, CHANNELS)
        product = graph.add("MatMul", [value, weight], f"layer{number}")
        value = graph.add("Add", [product, zeros], f"sum{number}")
        value = graph.add("Sigmoid", [value], f"active{number}")
    save_model(graph.model(value), tmp_path / "f.onnx")
    plan = with_sizes(tmp_path / "f.onnx", KINDS[kind])
    result = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", plan, [("clip", {"x": CLIP})])
    assert result.size_bytes == plan.predicted_bytes
