"""Small recognisers whose layers lie in the branches of an ``If`` and in the body of a ``Loop``."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.graph.info import ArtifactInfo, set_info
from tests.small_model import LABELS

INPUTS, HIDDEN, STATE = 40, 48, 32
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def _model(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], extra: list[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("features", FLOAT, ["batch", "frames", INPUTS]), *extra],
        [helper.make_tensor_value_info("log_probs", FLOAT, ["batch", "frames", len(LABELS)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    info = ArtifactInfo(LABELS, Frontend(), task="ctc", model_sha256="ab" * 32, name="small")
    set_info(model, info)
    return model


def _normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    return (random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


def merged_decoder(seed: int = 0, *, inside: bool = True) -> onnx.ModelProto:
    """Both branches of an ``If`` hold the same two layers, under the same names.

    Args:
        inside: whether each branch has the weights as its own; else both read those of the graph
            around them.
    """
    random = np.random.default_rng(seed)
    weights = {
        "up.w": _normal(random, HIDDEN, STATE),
        "up.b": random.uniform(-0.5, 0.5, STATE).astype(np.float32),
        "down.w": _normal(random, STATE, HIDDEN),
    }

    def branch(name: str, activation: str) -> onnx.GraphProto:
        nodes = [
            helper.make_node("MatMul", ["entered", "up.w"], ["up.out"], "layer/up"),
            helper.make_node("Add", ["up.out", "up.b"], ["up.sum"], "layer/bias"),
            helper.make_node(activation, ["up.sum"], ["active"], "layer/active"),
            helper.make_node("MatMul", ["active", "down.w"], ["down.out"], "layer/down"),
        ]
        own = [numpy_helper.from_array(v, k) for k, v in weights.items()] if inside else []
        made = [helper.make_tensor_value_info("down.out", FLOAT, None)]
        return helper.make_graph(nodes, name, [], made, own)

    constants = {
        "enter.w": _normal(random, INPUTS, HIDDEN),
        "leave.w": _normal(random, HIDDEN, len(LABELS)),
        **({} if inside else weights),
    }
    nodes = [
        helper.make_node("MatMul", ["features", "enter.w"], ["entered"], "enter"),
        helper.make_node(
            "If",
            ["use_cache"],
            ["decoded"],
            "choose",
            then_branch=branch("with_past", "Relu"),
            else_branch=branch("without_past", "Tanh"),
        ),
        helper.make_node("Add", ["entered", "decoded"], ["summed"], "sum"),
        helper.make_node("MatMul", ["summed", "leave.w"], ["logits"], "leave"),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"], "posteriors", axis=-1),
    ]
    flag = helper.make_tensor_value_info("use_cache", BOOL, [])
    return _model(nodes, constants, [flag])


def looped(seed: int = 0) -> onnx.ModelProto:
    """A recurrent layer written out as a ``Loop`` over frames, with a weight in its body."""
    random = np.random.default_rng(seed)
    constants = {
        "enter.w": _normal(random, INPUTS, STATE),
        "leave.w": _normal(random, STATE, len(LABELS)),
        "time": np.array(1),
        "yes": np.array(True),
        "two": np.array([2]),
    }
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["entered", "i"], ["frame"], "pick", axis=1),
            helper.make_node("MatMul", ["before", "state.w"], ["moved"], "state"),
            helper.make_node("Add", ["moved", "frame"], ["sum"], "add"),
            helper.make_node("Tanh", ["sum"], ["after"], "tanh"),
            helper.make_node("Identity", ["after"], ["shown"], "show"),
            helper.make_node("Identity", ["go"], ["on"], "on"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("before", FLOAT, ["batch", STATE]),
        ],
        [
            helper.make_tensor_value_info("on", BOOL, []),
            helper.make_tensor_value_info("after", FLOAT, ["batch", STATE]),
            helper.make_tensor_value_info("shown", FLOAT, ["batch", STATE]),
        ],
        [numpy_helper.from_array(_normal(random, STATE, STATE), "state.w")],
    )
    nodes = [
        helper.make_node("MatMul", ["features", "enter.w"], ["entered"], "enter"),
        helper.make_node("Shape", ["entered"], ["shape"], "shape"),
        helper.make_node("Gather", ["shape", "time"], ["frames"], "frames", axis=0),
        helper.make_node("ReduceMean", ["entered", "one"], ["mean"], "mean", keepdims=0),
        helper.make_node("Loop", ["frames", "yes", "mean"], ["last", "states"], "loop", body=body),
        helper.make_node("Transpose", ["states"], ["batch_major"], "turn", perm=[1, 0, 2]),
        helper.make_node("MatMul", ["batch_major", "leave.w"], ["logits"], "leave"),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"], "posteriors", axis=-1),
    ]
    constants["one"] = np.array([1])
    del constants["two"]
    return _model(nodes, constants, [])
