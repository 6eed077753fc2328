"""Small graphs with what makes cutting hard: residual paths, attention, masks, shared weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Feed = dict[str, np.ndarray]

WIDTH = 16
LABELS = 7


class _Builder:
    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], f"{output}.node", **attributes))
        return output

    def weight(self, name: str, *shape: int) -> str:
        scale = np.sqrt(1.5 / np.prod(shape[:-1]))
        values = self.random.standard_normal(shape) * scale
        self.constants[name] = values.astype(np.float32)
        return name

    def linear(self, value: str, name: str, inputs: int, outputs: int) -> str:
        product = self.add("MatMul", [value, self.weight(f"{name}.w", inputs, outputs)], name)
        bias = self.weight(f"{name}.b", outputs)
        return self.add("Add", [product, bias], f"{name}.biased")

    def model(
        self, inputs: dict[str, tuple[int, list[str | int]]], outputs: dict[str, int]
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs.items()],
            [numpy_helper.from_array(v, n) for n, v in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def residual(seed: int = 0, frames: int = 30) -> tuple[onnx.ModelProto, Feed]:
    """Convolutions with two paths around them; logits, and their frames in a second output."""
    b = _Builder(seed)
    value = b.add(
        "Relu", [b.add("Conv", ["x", b.weight("c1", 16, 8, 3)], "conv1", pads=[1, 1])], "r1"
    )
    inner = b.add(
        "Conv", [value, b.weight("c2", 16, 16, 3), b.weight("c2b", 16)], "conv2", pads=[1, 1]
    )
    outer = b.add("Add", [inner, value], "sum1")
    last = b.add("Conv", [b.add("Relu", [outer], "r2"), b.weight("c3", 16, 16, 1)], "conv3")
    total = b.add("Add", [b.add("Add", [last, outer], "sum2"), value], "sum3")
    b.add("Transpose", [total], "logits", perm=[0, 2, 1])
    b.add("Shape", ["r1"], "shape")
    model = b.model(
        {"x": (TensorProto.FLOAT, ["batch", 8, "frames"])},
        {"logits": TensorProto.FLOAT, "shape": TensorProto.INT64},
    )
    x = np.random.default_rng(seed + 1).standard_normal((1, 8, frames)).astype(np.float32)
    return model, {"x": x}


def attention(seed: int = 0, frames: int = 12) -> tuple[onnx.ModelProto, Feed]:
    """One transformer block with a mask from lengths; products of activations have no weight."""
    b = _Builder(seed)
    b.constants |= {"zero": np.array(0), "one": np.array(1), "axis": np.array([1])}
    b.constants |= {"shut": np.float32(-1e4), "open": np.float32(0)}
    b.constants |= {"gain": np.ones(WIDTH, np.float32)}
    shape = b.add("Shape", ["x"], "count", start=1, end=2)
    index = b.add("Range", ["zero", b.add("Squeeze", [shape], "frames"), "one"], "index")
    inside = b.add("Less", [index, b.add("Unsqueeze", ["lengths", "axis"], "column")], "inside")
    query = b.linear("x", "query", WIDTH, WIDTH)
    key = b.add("Transpose", [b.linear("x", "key", WIDTH, WIDTH)], "key.t", perm=[0, 2, 1])
    worth = b.linear("x", "worth", WIDTH, WIDTH)
    mask = b.add("Where", [inside, "open", "shut"], "mask")
    scores = b.add("Add", [b.add("MatMul", [query, key], "scores"), mask], "masked")
    mixed = b.add("MatMul", [b.add("Softmax", [scores], "share", axis=-1), worth], "mixed")
    total = b.add("Add", [b.linear(mixed, "out", WIDTH, WIDTH), "x"], "total")
    normal = b.add("LayerNormalization", [total, "gain"], "normal", axis=-1)
    wide = b.add("Relu", [b.linear(normal, "up", WIDTH, 2 * WIDTH)], "wide")
    again = b.add("Add", [b.linear(wide, "down", 2 * WIDTH, WIDTH), normal], "again")
    b.add("LogSoftmax", [b.linear(again, "head", WIDTH, LABELS)], "log_probs", axis=-1)
    model = b.model(
        {
            "x": (TensorProto.FLOAT, ["batch", "frames", WIDTH]),
            "lengths": (TensorProto.INT64, ["batch"]),
        },
        {"log_probs": TensorProto.FLOAT},
    )
    x = np.random.default_rng(seed + 1).standard_normal((1, frames, WIDTH)).astype(np.float32)
    return model, {"x": x, "lengths": np.array([frames - 2])}


def tied(seed: int = 0, frames: int = 9) -> tuple[onnx.ModelProto, Feed]:
    """An embedding of 64 tokens whose weight, transposed, is that of the output layer, too."""
    b = _Builder(seed)
    table = b.weight("table", 64, WIDTH)
    rows = b.add("Gather", [table, "tokens"], "rows")
    hidden = b.add("Relu", [b.linear(rows, "hidden", WIDTH, WIDTH)], "active")
    b.constants["table.t"] = np.ascontiguousarray(b.constants[table].T)
    b.add("MatMul", [b.add("Add", [hidden, rows], "sum"), "table.t"], "logits")
    model = b.model({"tokens": (TensorProto.INT64, ["batch", "t"])}, {"logits": TensorProto.FLOAT})
    tokens = np.random.default_rng(seed + 1).integers(0, 64, (1, frames))
    return model, {"tokens": tokens}
