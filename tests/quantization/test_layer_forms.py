"""Each kind of layer on its own: the integer form computes what the float one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.layers import find_layers
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.storage import stored_layers
from quantkit.runtime.session import create_session

RANDOM = np.random.default_rng(3)


def single_layer(
    op: str,
    inputs: tuple[int, ...],
    weight: tuple[int, ...],
    bias: int = 0,
    opset: int = 18,
    **a: Any,
) -> onnx.ModelProto:
    constants = {"w": RANDOM.standard_normal(weight).astype(np.float32)}
    names = ["x", "w"]
    if bias:
        constants["b"] = RANDOM.standard_normal(bias).astype(np.float32)
        names.append("b")
    free: list[str | int] = [f"d{i}" for i in range(len(inputs))]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], "the layer", **a)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, free)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


CASES = {
    "wide convolution": ("Conv", (2, 20, 50), (16, 20, 7), 16, {"pads": [3, 3]}),
    "strided convolution": ("Conv", (2, 20, 51), (16, 20, 8), 16, {"pads": [3, 3], "strides": [2]}),
    "dilated convolution": ("Conv", (1, 20, 50), (9, 20, 3), 0, {"dilations": [4], "pads": [2, 5]}),
    "pointwise convolution": ("Conv", (2, 20, 9), (16, 20, 1), 16, {}),
    "pointwise, strided": ("Conv", (2, 20, 9), (16, 20, 1), 16, {"strides": [3]}),
    "grouped convolution": ("Conv", (2, 32, 40), (32, 8, 9), 32, {"group": 4, "pads": [4, 4]}),
    "convolution with automatic padding": (
        "Conv", (1, 20, 30), (16, 20, 5), 16, {"auto_pad": "SAME_UPPER"},
    ),
    "image convolution": ("Conv", (1, 8, 12, 12), (16, 8, 3, 3), 16, {"pads": [1, 1, 1, 1]}),
    "matrix product": ("MatMul", (2, 11, 32), (32, 24), 0, {}),
    "general matrix product": ("Gemm", (11, 32), (24, 32), 24, {"transB": 1}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("settings", ["static", "dynamic per-batch", "dynamic per-clip"])
def test_integer_form_is_close_to_float(case: str, settings: str, tmp_path: Path) -> None:
    op, shape, weight, bias, attributes = CASES[case]
    source = tmp_path / "float32.onnx"
    onnx.save(single_layer(op, shape, weight, bias, **attributes), source)
    x = RANDOM.standard_normal(shape).astype(np.float32)
    compute, _, span = settings.partition(" ")
    wanted = QuantizeSettings(compute=compute, dynamic_range=span or "per-batch")
    result = quantize_model(source, tmp_path / "q.onnx", wanted, [("x", {"x": x})])
    (expected,) = create_session(source).run(["y"], {"x": x})
    (found,) = create_session(result.path).run(["y"], {"x": x})
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()
    (row,) = result.layers
    assert (row.name, row.compute, row.shape) == ("the layer", compute, weight)
    assert not result.lint.problems
    # The layer keeps its name, and is found again where it now lies.
    (stored,) = stored_layers(onnx.load(result.path))
    assert stored.name == "the layer"
    assert stored.bits == row.bits == 8
    assert stored.bytes == row.bytes


def test_weights_that_cannot_be_unfolded_are_uint8(tmp_path: Path) -> None:
    """ConvInteger with int8 weights would run at a fifth of float32's speed."""
    source = tmp_path / "f.onnx"
    onnx.save(single_layer("Conv", (1, 32, 9), (32, 8, 9), 0, group=4, pads=[4, 4]), source)
    result = quantize_model(source, tmp_path / "q.onnx", "int8")
    assert stored_layers(onnx.load(result.path))[0].codec == "uint8"
    assert result.lint.rows[0].kernel == "ConvInteger"


@pytest.mark.parametrize(
    ("model", "preset", "reason"),
    [
        (single_layer("Conv", (1, 1, 99), (512, 1, 10)), "int8", "too few inputs per output"),
        (single_layer("Conv", (1, 1, 400), (96, 1, 160)), "int8", "one input channel"),
        (single_layer("Conv", (1, 1, 400), (96, 1, 160)), "static-int8", "one input channel"),
        (single_layer("Conv", (1, 8, 9, 9), (8, 1, 3, 3), group=8), "int8", "depthwise"),
        (single_layer("ConvTranspose", (1, 8, 9), (8, 8, 3)), "static-int8", "no integer kernel"),
        (single_layer("Gemm", (8, 3), (8, 4), 4, transA=1), "int8", "transposed, scaled"),
        (single_layer("MatMul", (2, 3, 8), (2, 8, 4)), "int8", "not a matrix"),
    ],
)
def test_layer_that_int8_would_slow_down_stays_float(model, preset, reason, tmp_path) -> None:
    onnx.save(model, tmp_path / "f.onnx")
    shape = [3] * len(model.graph.input[0].type.tensor_type.shape.dim)
    feeds = [("x", {"x": np.zeros(shape, np.float32)})]
    (row,) = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", preset, feeds).layers
    assert row.compute == "float32"
    # Of these, only transposed convolutions are large enough to be worth a smaller file.
    assert row.codec == ("int8" if row.op == "ConvTranspose" else "float32")
    assert reason in row.note


def test_weight_that_is_not_finite_stays_float(tmp_path: Path) -> None:
    model = single_layer("MatMul", (2, 32), (32, 4))
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    onnx.save(model, tmp_path / "f.onnx")
    (row,) = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", "int8").layers
    assert row.note == "its weight holds NaN or infinity"


def test_nameless_nodes_of_foreign_models_are_named_after_their_output(tmp_path: Path) -> None:
    model = single_layer("MatMul", (2, 32), (32, 4))
    model.graph.node[0].name = ""
    onnx.save(model, tmp_path / "f.onnx")
    (row,) = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", "int8").layers
    assert row.name == "y"


def test_old_opsets(tmp_path: Path) -> None:
    for opset in (7, 12, 17):
        source = tmp_path / f"{opset}.onnx"
        onnx.save(single_layer("MatMul", (2, 32), (32, 4), opset=opset), source)
        for preset in ("int8", "dynamic-int8"):
            made = quantize_model(source, tmp_path / "q.onnx", preset)
            assert made.lint.integer_layers
            assert onnx.load(made.path).opset_import[0].version == 18


def test_silence_gives_the_bias_and_no_nan(tmp_path: Path) -> None:
    source = tmp_path / "f.onnx"
    onnx.save(single_layer("Conv", (1, 20, 9), (4, 20, 3), 4), source)
    silence = {"x": np.zeros((1, 20, 9), np.float32)}
    (expected,) = create_session(source).run(["y"], silence)
    for preset in ("int8", "dynamic-int8", "static-int8"):
        result = quantize_model(source, tmp_path / "q.onnx", preset, [("silence", silence)])
        (found,) = create_session(result.path).run(["y"], silence)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_matrix_products_that_share_an_input_and_residual_paths(tmp_path: Path) -> None:
    """A static layer whose result is also read by float nodes still feeds the next one."""
    weights = {n: RANDOM.standard_normal((32, 32)).astype(np.float32) for n in ("q", "k", "o")}
    nodes = [
        helper.make_node("MatMul", ["x", "q"], ["xq"], "query"),
        helper.make_node("MatMul", ["x", "k"], ["xk"], "key"),
        helper.make_node("Relu", ["xq"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "o"], ["ro"], "out"),
        helper.make_node("Add", ["ro", "r"], ["sum"], "residual"),
        helper.make_node("Mul", ["sum", "xk"], ["y"], "gate"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "t", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", "t", 32])],
        [numpy_helper.from_array(v, n) for n, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "f.onnx")
    x = RANDOM.standard_normal((2, 9, 32)).astype(np.float32)
    (expected,) = create_session(tmp_path / "f.onnx").run(["y"], {"x": x})
    for preset in ("int8", "dynamic-int8", "static-int8", "hybrid"):
        result = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", preset, [("x", {"x": x})])
        (found,) = create_session(result.path).run(["y"], {"x": x})
        assert np.abs(found - expected).max() < 0.04 * np.abs(expected).max()
        assert result.lint.integer_layers == 3
        assert [layer.name for layer in find_layers(onnx.load(result.path))] == [
            "query",
            "key",
            "out",
        ]
