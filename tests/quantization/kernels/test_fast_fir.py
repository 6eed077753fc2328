"""Long convolutions with fewer products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.artifact import load_model
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import find_layers
from quantkit.graph.opset import import_contributed
from quantkit.graph.plan import LayerPlan
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.presets import preset
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.kernels import fast_fir
from quantkit.quantization.kernels.emitter import Emitter
from quantkit.quantization.kernels.fast_fir import (
    Operands,
    fast_filter,
    faster_bits,
    halvings,
)
from quantkit.quantization.pipeline import QuantizeResult
from quantkit.quantization.storage import stored_layers
from quantkit.runtime.hosts import hosts_of
from quantkit.runtime.optimised import optimised_graph

TAPS, CHANNELS, OUTPUTS = 8, 3, 5
RANDOM = np.random.default_rng(0)


def filter_graph(
    levels: np.ndarray,
    count: int,
    zero_point: int,
    padding: tuple[int, int],
    bias: np.ndarray | None,
) -> onnx.ModelProto:
    """From uint8 (batch, frames, channels) to float32 (batch, frames, outputs)."""
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["x"], ["value"]),
            helper.make_node("Identity", ["h"], ["y"]),
        ],
        "filter",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["batch", "frames", CHANNELS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    editor = GraphEditor(model)
    emitter = Emitter(editor, "layer")
    operands = Operands(
        weight=emitter.constant("weight", levels.transpose(2, 1, 0).reshape(-1, OUTPUTS)),
        input_scale=emitter.constant("input_scale", np.float32(0.5)),
        weight_scale=emitter.constant("scale", np.arange(1, 1 + OUTPUTS, dtype=np.float32)),
        bias=None if bias is None else emitter.constant("bias", bias),
        zero_point=zero_point,
        padding=padding,
        taps=TAPS,
        channels=CHANNELS,
        outputs=OUTPUTS,
    )
    result = fast_filter(emitter, "value", operands, count)
    last = editor.nodes[1]
    last.input[0] = result
    editor.replace(last, [*emitter.nodes, last])
    editor.finish()
    import_contributed(model)
    return model


def correlated(x: np.ndarray, levels: np.ndarray, zero_point: int, padding: tuple[int, int]):
    padded = np.pad(x.astype(np.int64) - zero_point, ((0, 0), padding, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, TAPS, axis=1)
    return np.einsum("bfck,ock->bfo", windows, levels.astype(np.int64))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 6, 7, 40, 41])
@pytest.mark.parametrize(("zero_point", "padding"), [(0, (4, 4)), (21, (4, 3)), (5, (7, 0))])
def test_sums_are_exact_at_the_ends_of_the_grids(count, frames, zero_point, padding):
    reach = 127 // 2**count
    levels = RANDOM.choice([-reach, reach, 1], (OUTPUTS, CHANNELS, TAPS)).astype(np.int8)
    largest = 2 ** (8 - count) - 1
    x = RANDOM.choice([0, largest, 3], (2, frames, CHANNELS)).astype(np.uint8)
    bias = RANDOM.standard_normal(OUTPUTS).astype(np.float32)
    model = filter_graph(levels, count, zero_point, padding, bias)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"x": x})
    sums = correlated(x, levels, zero_point, padding)
    wanted = sums * 0.5 * np.arange(1, 1 + OUTPUTS) + bias
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=0.05)


def test_a_filter_may_have_no_bias():
    levels = np.ones((OUTPUTS, CHANNELS, TAPS), np.int8)
    model = filter_graph(levels, 2, 0, (4, 3), None)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.full((1, 9, CHANNELS), 2, np.uint8)
    (found,) = session.run(None, {"x": x})
    assert found[0, 4, 0] == 2 * TAPS * CHANNELS * 0.5


def convolution(**attributes: object) -> onnx.NodeProto:
    return helper.make_node("Conv", ["h", "w", "b"], ["c"], "long", **attributes)


def two_convolutions(taps: int = TAPS, **attributes: object) -> onnx.ModelProto:
    """A short one, a ReLU, the long one, a ReLU, and one that reads it."""
    nodes = [
        helper.make_node("Conv", ["x", "v", "a"], ["s"], "short", pads=[1, 1]),
        helper.make_node("Relu", ["s"], ["h"]),
        convolution(**{"pads": [taps // 2, taps // 2], **attributes}),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "u", "d"], ["y"], "last"),
    ]
    constants = {
        "v": RANDOM.standard_normal((16, 24, 3)) / 8,
        "w": RANDOM.standard_normal((20, 16, taps)) / 11,
        "u": RANDOM.standard_normal((6, 20, 1)) / 4,
        "a": RANDOM.standard_normal(16) / 4,
        "b": RANDOM.standard_normal(20) / 4,
        "d": RANDOM.standard_normal(6) / 4,
    }
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 24, "frames"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


CLIPS = [
    (str(n), {"x": np.random.default_rng(n).standard_normal((1, 24, n), np.float32)})
    for n in (60, 51)
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of any size are computed this way."""
    monkeypatch.setattr(fast_fir, "_FEWEST_WEIGHTS", 1)
    monkeypatch.setattr(fast_fir, "_FEWEST_TAPS", 2)


def quantized(folder: Path, rule: str, model: onnx.ModelProto | None = None) -> QuantizeResult:
    source = folder / "float32.onnx"
    onnx.save(two_convolutions() if model is None else model, source)
    settings = replace(preset("static-int8"), rules=(LayerRule.parse(rule),) if rule else ())
    return quantize_model(source, folder / "int8.onnx", settings, CLIPS)


def results(path: Path) -> Mapping[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return {name: session.run(None, feed)[0] for name, feed in CLIPS}


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["long=@static/7", "long=@static/6", "long=grouped:4@static/7"])
def test_a_layer_with_few_bits_is_near_the_float_one_and_has_no_kernel_of_8_bits(
    tmp_path, small, rule
):
    result = quantized(tmp_path, rule)
    kernels = [(row.name, row.kernel, row.status, row.folded) for row in result.lint.rows]
    assert kernels == [
        ("short", "QLinearConv", "int8", True),
        ("long", "MatMulIntegerToFloat", "int8", True),
        ("last", "MatMulInteger", "int8", True),
    ]
    halved = 1 if "/7" in rule else 2
    products = [n for n in optimised_graph(result.path).node if n.op_type == "MatMulIntegerToFloat"]
    assert len(products) == 3**halved
    wanted, found = results(tmp_path / "float32.onnx"), results(result.path)
    for name, values in wanted.items():
        error = np.square(found[name] - values).mean() / values.var()
        assert error < (0.02 if "grouped" in rule else 0.002)


@pytest.mark.slow
def test_each_weight_is_stored_once(tmp_path, small):
    (tmp_path / "plain").mkdir()
    fast, plain = quantized(tmp_path, "long=@static/7"), quantized(tmp_path / "plain", "")
    assert fast.size_bytes < plain.size_bytes + 20_000
    model = load_model(fast.path)
    layers = {layer.name: layer for layer in find_layers(model)}
    assert list(layers) == ["short", "long", "last"]
    assert layers["long"].shape == (16 * TAPS, 20)
    rows = {row.name: row.bytes for row in stored_layers(model)}
    assert rows["long"] >= 16 * TAPS * 20
    planned = {row.name: row for row in fast.layers}
    assert isinstance(planned["long"], LayerPlan)
    assert planned["long"].activation_bits == 7


@pytest.mark.slow
def test_sums_of_weights_keep_to_what_a_processor_can_multiply(tmp_path, small):
    assert hosts_of(quantized(tmp_path, "long=@static/6").path).largest_level <= 127
    from quantkit.quantization.choices.ptq import PtqSettings

    source, path = tmp_path / "float32.onnx", tmp_path / "any.onnx"
    settings = replace(preset("static-int8"), rules=(LayerRule.parse("long=@static/6"),))
    quantize_model(source, path, settings, CLIPS, fitting=PtqSettings(target_cpu="any"))
    assert not hosts_of(path).overflowing


@pytest.mark.parametrize(
    ("attributes", "taps", "bits", "count"),
    [
        ({}, 8, 7, 1),
        ({}, 8, 6, 2),
        ({}, 8, 4, 2),
        ({}, 8, 8, 0),
        ({}, 6, 6, 1),
        ({}, 5, 7, 0),
        ({"strides": [2]}, 8, 7, 0),
        ({"dilations": [2]}, 8, 7, 0),
    ],
)
def test_halvings(small, attributes, taps, bits, count):
    editor = GraphEditor(two_convolutions(taps, **attributes))
    long = next(node for node in editor.nodes if node.name == "long")
    assert halvings(editor, long, bits) == count


def test_small_layers_are_not_worth_it():
    editor = GraphEditor(two_convolutions())
    long = next(node for node in editor.nodes if node.name == "long")
    assert halvings(editor, long, 6) == 0


@pytest.mark.parametrize(
    ("attributes", "taps", "bits"),
    [({}, 8, (7, 6)), ({}, 6, (7,)), ({}, 5, ()), ({"strides": [2]}, 8, ())],
)
def test_fewer_bits_count_only_where_they_halve_the_filters_again(small, attributes, taps, bits):
    editor = GraphEditor(two_convolutions(taps, **attributes))
    long = next(node for node in editor.nodes if node.name == "long")
    assert faster_bits(editor, long) == bits
