from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.finetuning.graph import TorchGraph
from tests.small_graphs import run, transformer
from tests.small_model import masked_convolutions


def _session(model: onnx.ModelProto) -> object:
    import onnxruntime

    return onnxruntime.InferenceSession(model.SerializeToString())


def test_masked_convolutions_give_what_onnx_runtime_gives() -> None:
    model = masked_convolutions()
    rng = np.random.default_rng(0)
    inputs = {
        "features": rng.standard_normal((3, 40, 40)).astype(np.float32),
        "lengths": np.array([40, 33, 12]),
    }
    names = [value.name for value in model.graph.output]
    graph = TorchGraph(model, names)
    found = graph({name: torch.from_numpy(value) for name, value in inputs.items()})
    for name, wanted in zip(names, _session(model).run(names, inputs), strict=True):
        np.testing.assert_allclose(found[name].numpy(), wanted, atol=1e-4)


def test_a_transformer_gives_what_onnx_runtime_gives() -> None:
    model = transformer()
    x = np.random.default_rng(0).standard_normal((2, 7, model_channels(model))).astype(np.float32)
    (name,) = (value.name for value in model.graph.output)
    (given,) = (value.name for value in model.graph.input)
    found = TorchGraph(model, [name])({given: torch.from_numpy(x)})[name]
    np.testing.assert_allclose(found.numpy(), run(model, x), atol=1e-4)


def model_channels(model: onnx.ModelProto) -> int:
    return int(model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value)


def test_an_operator_without_gradient_is_refused_by_name() -> None:
    node = helper.make_node("TopK", ["x", "k"], ["y", "i"], "best")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.array([2]), "k")],
    )
    with pytest.raises(ModelError, match=r"through operator TopK \(node best\)"):
        TorchGraph(helper.make_model(graph), ["y"])


def test_rounding_lets_gradients_pass_and_clipping_stops_them() -> None:
    nodes = [
        helper.make_node("Round", ["x"], ["r"]),
        helper.make_node("Clip", ["r", "low", "high"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [
            numpy_helper.from_array(np.float32(-1), "low"),
            numpy_helper.from_array(np.float32(2), "high"),
        ],
    )
    x = torch.tensor([-3.0, 0.4, 1.5, 9.0], requires_grad=True)
    y = TorchGraph(helper.make_model(graph), ["y"])({"x": x})["y"]
    y.sum().backward()
    assert y.tolist() == [-1.0, 0.0, 2.0, 2.0]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_a_padding_that_repeats_values_is_named() -> None:
    graph = helper.make_graph(
        [helper.make_node("Pad", ["x", "pads"], ["y"], mode="reflect")],
        "padded",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [6])],
        [numpy_helper.from_array(np.array([1, 1]), "pads")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    with pytest.raises(ModelError, match="the model pads by reflect"):
        TorchGraph(model, ["y"])({"x": torch.zeros(4)})
