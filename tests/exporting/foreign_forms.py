"""Recognisers as other people's tools write them, each in a form of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

LABELS = ("<blank>", " ", "a", "b", "c")
HIDDEN, WINDOW, STRIDE = 16, 25, 10

Change = Callable[[onnx.ModelProto], None]


def plain(opset: int = 18) -> onnx.ModelProto:
    """Two convolutions and a product: (batch, samples) → (batch, frames, labels)."""
    random = np.random.default_rng(0)
    constants = {
        "w1": 0.3 * random.standard_normal((HIDDEN, 1, WINDOW)),
        "b1": 0.1 * random.standard_normal(HIDDEN),
        "w2": 0.2 * random.standard_normal((HIDDEN, HIDDEN, 5)),
        "head": random.standard_normal((HIDDEN, len(LABELS))),
    }
    weights = {name: value.astype(np.float32) for name, value in constants.items()}
    axes = {} if opset < 13 else {"axis": np.array([1])}
    old = {"axes": [1]} if opset < 13 else {}
    nodes = [
        helper.make_node("Unsqueeze", ["audio", *axes], ["x"], "unsqueeze", **old),
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", strides=[STRIDE]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "conv2", pads=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("Transpose", ["r2"], ["t"], "transpose", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "head"], ["logits"], "product"),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "theirs",
        [info("audio", TensorProto.FLOAT, ["b", "n"])],
        [info("logits", TensorProto.FLOAT, ["b", "f", len(LABELS)])],
        [numpy_helper.from_array(value, name) for name, value in (weights | axes).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def narrowed(model: onnx.ModelProto, type_: int) -> onnx.ModelProto:
    """With weights, inputs and outputs of a type of 16 bits."""
    kind = np.float16 if type_ == TensorProto.FLOAT16 else ml_dtypes.bfloat16
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(kind)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = type_
    return model


def half_inside() -> onnx.ModelProto:
    """Of float16 between an input and an output of float32."""
    model = narrowed(plain(), TensorProto.FLOAT16)
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    graph.node[0].input[0] = "narrow"
    graph.node[-1].output[0] = "scores"
    first = helper.make_node("Cast", ["audio"], ["narrow"], "cast1", to=TensorProto.FLOAT16)
    last = helper.make_node("Cast", ["scores"], ["logits"], "cast2", to=TensorProto.FLOAT)
    _set_nodes(model, [first, *graph.node, last])
    return model


def with_function() -> onnx.ModelProto:
    """The second convolution in a function."""
    model = plain()
    body = [
        helper.make_node("Conv", ["X", "K"], ["y"], "inner", pads=[2, 2]),
        helper.make_node("Relu", ["y"], ["Y"], "inner_relu"),
    ]
    imports = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("own", "Block", ["X", "K"], ["Y"], body, imports))
    model.opset_import.append(helper.make_opsetid("own", 1))
    call = helper.make_node("Block", ["r1", "w2"], ["r2"], "block", domain="own")
    nodes = list(model.graph.node)
    _set_nodes(model, [*nodes[:3], call, *nodes[5:]])
    return model


def with_branches() -> onnx.ModelProto:
    """Branches that read a transposed weight from outside, and have layers of their own."""
    model = plain()
    info = helper.make_tensor_value_info
    head = next(t for t in model.graph.initializer if t.name == "head")
    turned = np.ascontiguousarray(numpy_helper.to_array(head).T)
    head.CopyFrom(numpy_helper.from_array(turned, "head"))
    branches = {
        f"{which}_branch": helper.make_graph(
            [helper.make_node("MatMul", [source, "turned"], [which], f"{which}_product")],
            which,
            [],
            [info(which, TensorProto.FLOAT, None)],
        )
        for which, source in (("then", "t"), ("else", "negated"))
    }
    model.graph.initializer.append(numpy_helper.from_array(np.array(2), "two"))
    more = [
        helper.make_node("Transpose", ["head"], ["turned"], "turn", perm=[1, 0]),
        helper.make_node("Neg", ["t"], ["negated"], "negate"),
        helper.make_node("Size", ["t"], ["size"], "size"),
        helper.make_node("Greater", ["size", "two"], ["long"], "long"),
        helper.make_node("MatMul", ["t", "turned"], ["first"], "product"),
        helper.make_node("If", ["long"], ["second"], "branch", **branches),
        helper.make_node("Add", ["first", "second"], ["logits"], "sum"),
    ]
    _set_nodes(model, [*list(model.graph.node)[:-1], *more])
    return model


def optimised(path: Path, level: onnxruntime.GraphOptimizationLevel) -> onnx.ModelProto:
    """What ONNX Runtime makes of the plain one and saves; ``path`` is a file to write."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    onnxruntime.InferenceSession(plain().SerializeToString(), options, providers=providers)
    return onnx.load(path)


def _set_nodes(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
