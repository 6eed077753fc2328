"""Which nodes are layers, in float graphs and in quantized ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from quantkit.graph.layers import Layer, find_layers


def random(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(math.prod(shape)).standard_normal(shape).astype(np.float32)


def make_model(
    nodes: list[onnx.NodeProto], weights: dict[str, npt.NDArray[np.generic]]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, "t"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def two_layers() -> onnx.ModelProto:
    """A convolution 4 → 6 of kernel 3 and a product 6 → 5 with a bias."""
    return make_model(
        [
            helper.make_node("Conv", ["x", "cw", "cb"], ["c"], name="conv", pads=[1, 1]),
            helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["t", "mw"], ["m"], name="dense"),
            helper.make_node("Add", ["m", "mb"], ["y"]),
        ],
        {"cw": random(6, 4, 3), "cb": random(6), "mw": random(6, 5), "mb": random(5)},
    )


def test_layers_come_in_graph_order_with_their_biases() -> None:
    assert find_layers(two_layers()) == [
        Layer(0, "conv", "Conv", "cw", (6, 4, 3), 6 * 4 * 3 + 6),
        Layer(1, "dense", "MatMul", "mw", (6, 5), 6 * 5 + 5),
    ]


def test_gemm_embedding_and_unnamed_nodes() -> None:
    model = make_model(
        [
            helper.make_node("Gather", ["table", "tokens"], ["e"], name="embedding"),
            helper.make_node("Gemm", ["e", "w", "b"], ["y"], transB=1),
        ],
        {"table": random(10, 4), "w": random(3, 4), "b": random(3)},
    )
    assert [(a.name, a.op, a.shape, a.parameters) for a in find_layers(model)] == [
        ("embedding", "Gather", (10, 4), 40),
        ("y", "Gemm", (3, 4), 15),
    ]


def test_products_of_activations_and_picks_from_shapes_are_no_layers() -> None:
    model = make_model(
        [
            helper.make_node("Shape", ["x"], ["s"]),
            helper.make_node("Gather", ["s", "zero"], ["batch"]),
            helper.make_node("Transpose", ["x"], ["xt"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["x", "xt"], ["y"]),
        ],
        {"zero": np.array(0)},
    )
    assert find_layers(model) == []


def test_weight_behind_a_decoding_subgraph() -> None:
    # Two-bit codes in bytes, looked up, reshaped and transposed: all of it constant.
    model = make_model(
        [
            helper.make_node("Gather", ["table", "codes"], ["looked_up"]),
            helper.make_node("Reshape", ["looked_up", "shape"], ["rows"]),
            helper.make_node("Cast", ["rows"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["floats"], ["w"], perm=[1, 0, 2]),
            helper.make_node("Conv", ["x", "w"], ["y"], name="conv"),
        ],
        {
            "table": np.arange(1024, dtype=np.int8).reshape(256, 4),
            "codes": np.arange(18, dtype=np.uint8).astype(np.int32),
            "shape": np.array([4, 6, 3]),
        },
    )
    assert find_layers(model) == [Layer(0, "conv", "Conv", "table", (6, 4, 3), 72)]


@pytest.mark.parametrize("domain", ["unknown.tools", "ai.onnx.ml"])
def test_a_weight_whose_shape_nobody_can_tell_is_no_layer(domain: str) -> None:
    nodes = [
        helper.make_node("Reshape", ["codes", "shape"], ["w"], domain=domain),
        helper.make_node("Conv", ["x", "w"], ["c"], name="foreign"),
        helper.make_node("Reshape", ["codes", "shape"], ["v"]),
        helper.make_node("Conv", ["x", "v"], ["y"], name="known"),
    ]
    model = make_model(nodes, {"codes": random(18, 4), "shape": np.array([6, 4, 3])})
    assert [layer.name for layer in find_layers(model)] == ["known"]


def test_weights_of_a_graph_whose_shapes_contradict_each_other_are_no_layers() -> None:
    nodes = [
        helper.make_node("Concat", ["codes", "shape"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv"),
    ]
    assert find_layers(make_model(nodes, {"codes": random(18, 4), "shape": np.array([6])})) == []


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self.batches = iter([{"x": random(1, 4, 20)}])

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        return next(self.batches, None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    model = two_layers()
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "t", 5])
    )
    onnx.save(model, tmp_path / "float.onnx")
    return tmp_path / "float.onnx"


def test_static_quantization_keeps_names_shapes_and_parameters(source: Path) -> None:
    target = source.with_name("static.onnx")
    quantize_static(
        source,
        target,
        _Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
    )
    found = find_layers(onnx.load(target))
    assert [(layer.name, layer.shape) for layer in found] == [
        ("conv", (6, 4, 3)),
        ("dense", (6, 5)),
    ]
    assert [layer.parameters for layer in found] == [78, 35]
    stored = {tensor.name: tensor for tensor in onnx.load(target).graph.initializer}
    assert all(stored[layer.weight].data_type == TensorProto.INT8 for layer in found)


def test_dynamic_quantization_keeps_shapes_and_parameters(source: Path) -> None:
    target = source.with_name("dynamic.onnx")
    quantize_dynamic(source, target, weight_type=QuantType.QUInt8)
    found = find_layers(onnx.load(target))
    assert [(layer.op, layer.shape) for layer in found] == [
        ("ConvInteger", (6, 4, 3)),
        ("MatMulInteger", (6, 5)),
    ]
    assert found[1].parameters == 35


def test_modules_in_a_name_are_no_parts_of_a_layer() -> None:
    """A node ``/a/MatMul`` whose weight a node ``/a/Transpose`` makes has the transposed weight."""
    weight = np.zeros((5, 3), np.float32)
    nodes = [
        helper.make_node("Transpose", ["weight"], ["turned"], "decoder./turned"),
        helper.make_node("MatMul", ["x", "turned"], ["y"], "decoder./MatMul"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "weight")])
    (layer,) = find_layers(helper.make_model(graph))
    assert layer.shape == (3, 5)
