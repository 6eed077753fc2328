"""Patches: times the weights, they are what the layer computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.calibration.patches import patches, windows
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import Geometry, layer_weights

# Operator, shape of the input, shape of the weight, attributes.
CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "padded": ("Conv", (2, 6, 30), (4, 6, 5), {"pads": [2, 2]}),
    "pointwise": ("Conv", (1, 6, 9), (4, 6, 1), {}),
    "strided groups": (
        "Conv",
        (1, 6, 31),
        (4, 3, 5),
        {"group": 2, "strides": [3], "dilations": [2], "pads": [1, 4]},
    ),
    "same, more after": ("Conv", (1, 6, 31), (4, 6, 4), {"auto_pad": "SAME_UPPER"}),
    "same, more before": ("Conv", (1, 6, 30), (4, 6, 4), {"auto_pad": "SAME_LOWER"}),
    "same, strided": (
        "Conv",
        (1, 6, 31),
        (4, 6, 5),
        {"auto_pad": "SAME_UPPER", "strides": [3]},
    ),
    "no padding": ("Conv", (2, 4, 11, 13), (8, 4, 3, 4), {"auto_pad": "VALID"}),
    "depthwise images": (
        "Conv",
        (1, 4, 11, 13),
        (8, 1, 3, 4),
        {"group": 4, "pads": [1, 2, 0, 1], "strides": [2, 1]},
    ),
    "volumes": ("Conv", (1, 2, 5, 6, 7), (3, 2, 2, 3, 2), {"strides": [1, 2, 1]}),
    "matrix": ("MatMul", (2, 5, 7), (7, 3), {}),
    "affine": ("Gemm", (5, 7), (7, 3), {}),
    "affine, transposed weight": ("Gemm", (5, 7), (3, 7), {"transB": 1}),
    "affine, transposed input": ("Gemm", (7, 5), (7, 3), {"transA": 1}),
}


def layer(
    op: str, inputs: tuple[int, ...], weight: np.ndarray, left: bool = False, **attributes: Any
) -> onnx.ModelProto:
    operands = ["weight", "value"] if left else ["value", "weight"]
    graph = helper.make_graph(
        [helper.make_node(op, operands, ["result"], "layer", **attributes)],
        "layer",
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, inputs)],
        [helper.make_empty_tensor_value_info("result")],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def geometry_of(model: onnx.ModelProto) -> Geometry | None:
    weights = layer_weights(GraphEditor(model)).values()
    return next((weight.geometry() for weight in weights), None)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def computed(model: onnx.ModelProto, value: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"value": value})[0]
    return result


@pytest.mark.parametrize("name", CASES)
def test_rows_times_weights_are_the_layers_output(name) -> None:
    op, inputs, shape, attributes = CASES[name]
    value, weight = normal(*inputs), normal(*shape)
    model = layer(op, inputs, weight, **attributes)
    geometry = geometry_of(model)
    assert geometry is not None
    assert geometry.value == "value"
    if op == "Conv":
        expected = np.moveaxis(computed(model, value), 1, -1)
        by_channel = weight.reshape(len(weight), -1)
    else:
        expected = computed(model, value)
        by_channel = weight if attributes.get("transB") else weight.T
    rows = patches(value, geometry)
    if geometry.groups > 1:
        assert rows.shape[1:] == (geometry.groups, geometry.inputs)
        by_group = by_channel.reshape(geometry.groups, -1, geometry.inputs)
        products = np.einsum("rgi,goi->rgo", rows, by_group).reshape(len(rows), -1)
    else:
        assert rows.shape[1:] == (geometry.inputs,)
        products = rows @ by_channel.T
    np.testing.assert_allclose(products, expected.reshape(products.shape), atol=1e-4)


def test_a_weight_on_the_left_meets_columns() -> None:
    weight, value = normal(3, 7), normal(2, 7, 5)
    model = layer("MatMul", (2, 7, 5), weight, left=True)
    geometry = geometry_of(model)
    assert geometry is not None
    products = (patches(value, geometry) @ weight.T).reshape(2, 5, 3)
    np.testing.assert_allclose(products.swapaxes(1, 2), computed(model, value), atol=1e-5)


def test_windows_share_the_memory_of_an_input_without_padding() -> None:
    value = normal(1, 6, 30)
    geometry = geometry_of(layer("Conv", value.shape, normal(4, 6, 5)))
    assert geometry is not None
    seen = windows(value, geometry)
    assert seen.shape == (1, 26, 1, 6, 5)
    assert np.shares_memory(seen, value)


def test_layers_that_read_the_same_input_alike_have_equal_geometries() -> None:
    one, other = (layer("MatMul", (5, 7), normal(7, outputs)) for outputs in (3, 4))
    assert geometry_of(one) == geometry_of(other)
    assert geometry_of(one) != geometry_of(layer("Conv", (1, 7, 5), normal(3, 7, 1)))


@pytest.mark.parametrize(
    ("op", "inputs", "weight"),
    [
        ("MatMul", (2, 5, 7), (2, 7, 3)),
        ("ConvTranspose", (1, 6, 9), (6, 4, 3)),
        ("Add", (5, 7), (7,)),
    ],
)
def test_other_layers_have_none(op, inputs, weight) -> None:
    assert geometry_of(layer(op, inputs, normal(*weight))) is None


def test_a_product_of_activations_has_none() -> None:
    model = layer("MatMul", (5, 7), normal(7, 3))
    model.graph.node[0].input[1] = "value"
    assert geometry_of(model) is None


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_recurrent_weight_meets_the_state_before_each_step(op: str, direction: str) -> None:
    """Zero before the first step, else what the step before it made, in each direction."""
    gates, hidden, inputs, frames = {"LSTM": 4, "GRU": 3}[op], 5, 3, 7
    directions = 2 if direction == "bidirectional" else 1
    constants = {
        "w": normal(directions, gates * hidden, inputs),
        "r": normal(directions, gates * hidden, hidden),
    }
    node = helper.make_node(
        op, ["value", "w", "r"], ["y"], "rnn", hidden_size=hidden, direction=direction
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, [frames, 2, inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    weights = layer_weights(GraphEditor(model))
    geometry = weights["rnn.R"].geometry()
    assert geometry is not None
    states = computed(
        model, np.random.default_rng(0).standard_normal((frames, 2, inputs)).astype("f")
    )
    before = patches(states, geometry).reshape(frames * 2, directions, hidden)
    for number, step in enumerate(geometry.steps):
        after = states[::step, number].reshape(frames, 2, hidden)
        expected = np.concatenate([np.zeros_like(after[:1]), after[:-1]]).reshape(-1, hidden)
        rows = before[:, number]
        assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, expected.tolist()))


def test_state_that_is_handed_in_is_left_out() -> None:
    geometry = Geometry("y", inputs=2, steps=(1,), from_zero=False)
    states = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2)
    np.testing.assert_array_equal(patches(states, geometry), states[:2].reshape(-1, 2))
    assert patches(states[:1], geometry).shape == (0, 2)
