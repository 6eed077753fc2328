"""A recogniser in small with a convolution, a bidirectional LSTM, a GRU and an output layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.graph.info import ArtifactInfo, set_info
from tests.small_model import LABELS

CHANNELS, HIDDEN, GRU_HIDDEN = 48, 32, 40


def recurrent_recogniser(seed: int = 0) -> onnx.ModelProto:
    """Layers ``conv``, ``lstm.W``, ``lstm.R``, ``gru.W``, ``gru.R`` and ``output``."""
    random = np.random.default_rng(seed)
    constants: dict[str, np.ndarray] = {
        "zero_i": np.int64(0),
        "one_i": np.int64(1),
        "two": np.int64(2),
        "rows": np.array([0, 0, 2 * HIDDEN]),
        "direction": np.array([1]),
    }

    def normal(name: str, *shape: int) -> str:
        values = random.standard_normal(shape) * 1.5 / np.sqrt(shape[-1])
        constants[name] = values.astype(np.float32)
        return name

    nodes: list[onnx.NodeProto] = []

    def add(op: str, inputs: list[str], output: str, name: str = "", **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name or output, **attributes))
        return output

    value = add("Transpose", ["features"], "channel_major", perm=[0, 2, 1])
    constants["conv.w"] = (random.standard_normal((CHANNELS, 40, 5)) / 14).astype(np.float32)
    constants["conv.b"] = random.uniform(-0.1, 0.1, CHANNELS).astype(np.float32)
    value = add(
        "Conv",
        [value, "conv.w", "conv.b"],
        "conv.out",
        "conv",
        kernel_shape=[5],
        strides=[2],
        pads=[2, 2],
    )
    value = add("Relu", [value], "conv.relu")
    value = add("Transpose", [value], "time_major", perm=[2, 0, 1])
    lstm = [
        value,
        normal("lstm.w", 2, 4 * HIDDEN, CHANNELS),
        normal("lstm.r", 2, 4 * HIDDEN, HIDDEN),
        normal("lstm.b", 2, 8 * HIDDEN),
    ]
    value = add("LSTM", lstm, "lstm.y", "lstm", hidden_size=HIDDEN, direction="bidirectional")
    value = add("Transpose", [value], "lstm.turned", perm=[0, 2, 1, 3])
    value = add("Reshape", [value, "rows"], "lstm.both")
    gru = [
        value,
        normal("gru.w", 1, 3 * GRU_HIDDEN, 2 * HIDDEN),
        normal("gru.r", 1, 3 * GRU_HIDDEN, GRU_HIDDEN),
        normal("gru.b", 1, 6 * GRU_HIDDEN),
    ]
    value = add("GRU", gru, "gru.y", "gru", hidden_size=GRU_HIDDEN)
    value = add("Squeeze", [value, "direction"], "gru.one")
    value = add("Transpose", [value], "batch_major", perm=[1, 0, 2])
    value = add("MatMul", [value, normal("output.w", GRU_HIDDEN, len(LABELS))], "logits", "output")
    add("LogSoftmax", [value], "log_probs", axis=-1)
    hidden = add("Div", [add("Sub", ["lengths", "one_i"], "last"), "two"], "halves")
    add("Add", [hidden, "one_i"], "output_lengths")
    graph = helper.make_graph(
        nodes,
        "recurrent",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "frames", 40]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["batch", "time", 6]),
            helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    info = ArtifactInfo(LABELS, Frontend(), task="ctc", model_sha256="ab" * 32, name="small")
    set_info(model, info)
    return model
