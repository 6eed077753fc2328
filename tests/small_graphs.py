"""Small float graphs, node by node, and a transformer with outlier channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from quantkit.runtime.session import session_options

CHANNELS, HEADS, HIDDEN, LABELS = 32, 4, 64, 8
#: Channels behind every layer normalisation of :func:`transformer` that are large.
OUTLIERS = (3, 17)


class Graph:
    """Collects nodes, each called like its result, and random constants."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node; returns its result."""
        self.nodes.append(helper.make_node(op, list(inputs), [output], output, **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        """Returns the name of the constant."""
        self.constants[name] = np.asarray(value)
        return name

    def weight(self, name: str, *shape: int) -> str:
        """Normal numbers that keep the size of what they are multiplied by, roughly."""
        spread = 1 / np.sqrt(np.prod(shape) / max(shape[0], shape[-1]))
        values = self.random.standard_normal(shape) * spread
        return self.constant(name, values.astype(np.float32))

    def linear(self, value: str, name: str, inputs: int, outputs: int) -> str:
        """``MatMul`` called ``name`` and ``Add``; returns the sum."""
        product = self.add("MatMul", [value, self.weight(f"{name}.w", inputs, outputs)], name)
        bias = self.random.uniform(-0.5, 0.5, outputs).astype(np.float32)
        return self.add("Add", [product, self.constant(f"{name}.b", bias)], f"{name}.sum")

    def model(self, *outputs: str, rank: int = 3, channels: int = CHANNELS) -> onnx.ModelProto:
        """The graph from float ``x``, (batch, time, channels) or (batch, channels, time, …)."""
        free: list[str | int] = [f"d{i}" for i in range(rank)]
        free[1 if "Conv" in {node.op_type for node in self.nodes} else -1] = channels
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, free)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """The first output of ``model``."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


def values_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """All initializers."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def transformer(blocks: int = 2, *, seed: int = 0, affine: str = "norm") -> onnx.ModelProto:
    """Pre-normalised blocks of attention and a ReLU network, as PyTorch exports them.

    Args:
        affine: whether scale and shift of the normalisations lie in the ``norm`` or are ``spelled``
            out as ``Mul`` and ``Add``.
    """
    graph = Graph(seed)
    scale = np.ones(CHANNELS, np.float32)
    scale[list(OUTLIERS)] = 50

    def norm(value: str, name: str) -> str:
        gamma = scale * graph.random.uniform(0.5, 1.5, CHANNELS).astype(np.float32)
        beta = scale * graph.random.uniform(-0.5, 0.5, CHANNELS).astype(np.float32)
        names = [graph.constant(f"{name}.scale", gamma), graph.constant(f"{name}.shift", beta)]
        if affine == "norm":
            return graph.add("LayerNormalization", [value, *names], name, axis=-1)
        unit = graph.constant("unit", np.ones(CHANNELS, np.float32))
        plain = graph.add("LayerNormalization", [value, unit], f"{name}.plain", axis=-1)
        product = graph.add("Mul", [plain, names[0]], name)
        return graph.add("Add", [names[1], product], f"{name}.shifted")

    split = graph.constant("split", np.array([0, 0, HEADS, CHANNELS // HEADS]))
    merge = graph.constant("merge", np.array([0, 0, CHANNELS]))
    root = graph.constant("root", np.float32(0.35))
    value = "x"
    for number in range(blocks):
        name = f"block{number}"
        normal = norm(value, f"{name}.norm1")
        heads = {}
        for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            made = graph.linear(normal, f"{name}.{part}", CHANNELS, CHANNELS)
            # The outliers of a trained model meet small weights.
            graph.constants[f"{name}.{part}.w"][list(OUTLIERS)] /= 50
            shaped = graph.add("Reshape", [made, split], f"{name}.{part}.split")
            heads[part] = graph.add("Transpose", [shaped], f"{name}.{part}.heads", perm=order)
        scores = graph.add("MatMul", [heads["q"], heads["k"]], f"{name}.scores")
        scaled = graph.add("Mul", [scores, root], f"{name}.scaled")
        attention = graph.add("Softmax", [scaled], f"{name}.attention", axis=-1)
        mixed = graph.add("MatMul", [attention, heads["v"]], f"{name}.mixed")
        turned = graph.add("Transpose", [mixed], f"{name}.turned", perm=[0, 2, 1, 3])
        merged = graph.add("Reshape", [turned, merge], f"{name}.merged")
        out = graph.linear(merged, f"{name}.o", CHANNELS, CHANNELS)
        value = graph.add("Add", [value, out], f"{name}.middle")
        up = graph.linear(norm(value, f"{name}.norm2"), f"{name}.up", CHANNELS, HIDDEN)
        graph.constants[f"{name}.up.w"][list(OUTLIERS)] /= 50
        active = graph.add("Relu", [up], f"{name}.relu")
        down = graph.linear(active, f"{name}.down", HIDDEN, CHANNELS)
        value = graph.add("Add", [value, down], f"{name}.end")
    logits = graph.linear(norm(value, "norm"), "head", CHANNELS, LABELS)
    graph.add("LogSoftmax", [logits], "y", axis=-1)
    return graph.model("y")


def language_model(form: str, words: int = 300) -> onnx.ModelProto:
    """Embedding, one hidden layer, and an output layer with the embedding's weight.

    Args:
        form: how the weight is shared: behind a ``Transpose``, as a transposed ``copy``, by a
            ``gemm`` that transposes it, or ``untied`` for not at all.
    """
    width, hidden = 40, 64
    random = np.random.default_rng(0)
    table = random.standard_normal((words, width)).astype(np.float32)
    constants: dict[str, np.ndarray] = {
        "table": table,
        "w1": random.standard_normal((width, hidden)).astype(np.float32) / 6,
        "w2": random.standard_normal((hidden, width)).astype(np.float32) / 8,
    }
    nodes: list[onnx.NodeProto] = []

    def add(op: str, inputs: list[str], output: str, name: str = "", **attributes: Any) -> None:
        nodes.append(helper.make_node(op, inputs, [output], name or output, **attributes))

    add("Gather", ["table", "ids"], "embedded", "embedding")
    add("MatMul", ["embedded", "w1"], "up", "hidden.up")
    add("Relu", ["up"], "active")
    add("MatMul", ["active", "w2"], "down", "hidden.down")
    if form == "transpose":
        add("Transpose", ["table"], "turned", perm=[1, 0])
        add("MatMul", ["down", "turned"], "y", "head")
    elif form == "gemm":
        constants["rows"] = np.array([-1, width])
        add("Reshape", ["down", "rows"], "flat")
        add("Gemm", ["flat", "table"], "y", "head", transB=1)
    else:
        other = random.standard_normal((width, words)).astype(np.float32)
        constants["turned"] = np.ascontiguousarray(table.T) if form == "copy" else other
        add("MatMul", ["down", "turned"], "y", "head")
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "time"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    # As in a large model, the number that says its size has as many digits before and after.
    model.doc_string = "a large model " * 8_000
    return model
