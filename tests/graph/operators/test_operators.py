"""Each operator answers for its weights, its inputs, its bias and its kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import find_layers
from quantkit.graph.operators import (
    LayerWeight,
    Operator,
    layer_weights,
    lookups,
    operator_named,
    operator_of,
    operators,
    products,
    register,
    registry,
)

# Operator, inputs with the shapes of constants, and attributes.
CASES: dict[str, tuple[str, list[str | tuple[int, ...]], dict[str, Any]]] = {
    "conv": ("Conv", ["x", (6, 2, 5), (6,)], {"group": 3}),
    "transposed conv": ("ConvTranspose", ["x", (4, 6, 5), (6,)], {}),
    "product": ("MatMul", ["x", (4, 6)], {}),
    "product from the left": ("MatMul", [(6, 4), "x"], {}),
    "gemm": ("Gemm", ["x", (4, 6), (6,)], {}),
    "transposed gemm": ("Gemm", ["x", (6, 4), (6,)], {"transB": 1}),
    "embedding": ("Gather", [(6, 4), "x"], {}),
    "lstm": ("LSTM", ["x", (2, 12, 4), (2, 12, 3), (2, 24)], {"direction": "bidirectional"}),
    "gru": ("GRU", ["x", (1, 9, 4), (1, 9, 3), (1, 18)], {}),
}


def made(name: str) -> tuple[onnx.ModelProto, dict[str, LayerWeight]]:
    op, inputs, attributes = CASES[name]
    constants = {
        f"c{i}": np.random.default_rng(i).standard_normal(shape).astype(np.float32)
        for i, shape in enumerate(inputs)
        if isinstance(shape, tuple)
    }
    names = [each if isinstance(each, str) else f"c{i}" for i, each in enumerate(inputs)]
    if op in ("LSTM", "GRU"):
        attributes = {**attributes, "hidden_size": 3}
    node = helper.make_node(op, names, ["y"], "layer", **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return model, layer_weights(GraphEditor(model))


@pytest.mark.parametrize(
    ("name", "rows", "axis"),
    [
        ("conv", 6, 0),
        ("transposed conv", 6, 1),
        ("product", 6, 1),
        ("product from the left", 6, 0),
        ("gemm", 6, 1),
        ("transposed gemm", 6, 0),
        ("embedding", 6, 0),
        ("lstm", 24, 0),
        ("gru", 9, 0),
    ],
)
def test_output_channels_of_a_weight(name: str, rows: int, axis: int) -> None:
    for weight in made(name)[1].values():
        laid_out, values = weight.rows(), weight.array()
        assert weight.axis(laid_out.ndim) == axis
        assert values is not None
        assert weight.channels(values.shape) == laid_out.shape[axis] == rows


@pytest.mark.parametrize("name", CASES)
def test_one_number_for_each_input_meets_the_weights_of_that_input(name: str) -> None:
    for weight in made(name)[1].values():
        values, geometry = weight.array(), weight.geometry()
        assert values is not None
        if geometry is None:
            continue
        taps = int(np.prod(geometry.kernel))
        inputs = np.arange(1, 1 + geometry.inputs // taps * (geometry.groups if taps > 1 else 1))
        spread = weight.by_input(values.shape, inputs.astype(np.float32))
        assert spread is not None
        np.broadcast_shapes(spread.shape, weight.rows().shape)
        by_channel = np.moveaxis(
            np.broadcast_to(spread, weight.rows().shape), weight.axis(weight.rows().ndim), 0
        )
        first = by_channel.reshape(len(by_channel), -1)[0]
        np.testing.assert_array_equal(first, np.repeat(inputs[: geometry.inputs // taps], taps))


@pytest.mark.parametrize(
    ("name", "size"), [("conv", 6), ("gemm", 6), ("transposed conv", 6), ("lstm", 48), ("gru", 18)]
)
def test_bias_counts_once(name: str, size: int) -> None:
    model, weights = made(name)
    layers = find_layers(model)
    assert [layer.name for layer in layers] == list(weights)
    numbers = sum(int(np.prod(layer.shape)) for layer in layers)
    assert sum(layer.parameters for layer in layers) == numbers + size


@pytest.mark.parametrize(
    ("name", "static", "dynamic", "blocks"),
    [
        ("conv", "", "", "no kernel for Conv"),
        ("transposed conv", "no integer", "no integer", "no kernel"),
        ("product", "", "", ""),
        ("product from the left", "right operand", "right operand", "right operand"),
        ("transposed gemm", "", "", ""),
        ("embedding", "no integer", "no integer", ""),
        ("lstm", "at run time only", "", "no kernel"),
        ("gru", "no integer kernel for GRU", "no integer", "no kernel"),
    ],
)
def test_kernels_and_why_they_cannot_serve(
    name: str, static: str, dynamic: str, blocks: str
) -> None:
    for weight in made(name)[1].values():
        found = [
            weight.operator.reason_to_stay_float(weight.editor, weight.node, compute)
            for compute in ("float32", "static", "dynamic", "matmul-nbits")
        ]
        for reason, expected in zip(found, ("", static, dynamic, blocks), strict=True):
            assert expected in reason
            assert bool(expected) == bool(reason)


def test_kinds() -> None:
    assert products() == ("MatMul", "Gemm")
    assert lookups() == ("Gather",)
    assert operator_named("Relu") is None


def test_an_operator_of_another_domain_is_another_operator() -> None:
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], domain="com.microsoft.nchwc")
    assert operator_of(node) is None
    node.domain = "ai.onnx"
    assert operator_of(node) is not None


def test_another_operator_can_be_registered(monkeypatch) -> None:
    class Twice(Operator):
        name = "Twice"
        slots = operator_named("Gemm").slots

        def channel_axis(self, editor, node, rank):
            return rank - 1

    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    register(Twice())
    assert "Twice" in [each.name for each in operators()]
    model, _ = made("product")
    model.graph.node[0].op_type = "Twice"
    (layer,) = find_layers(model)
    assert (layer.name, layer.op, layer.shape) == ("layer", "Twice", (4, 6))
