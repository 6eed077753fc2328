"""Small recognisers as others make them: every kind of input and output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LABELS = ("<blank>", "|", "a", "b", "<unk>")
CHANNELS, WINDOW, STRIDE = 6, 400, 160
FLOAT, FLOAT16, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64

Node = onnx.NodeProto
#: A name, an element type, and axes, or none where they are not declared.
Port = tuple[str, int, Sequence[int | str | None] | None]


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Node:
    """A node called after its result."""
    return helper.make_node(op, list(inputs), list(outputs), outputs[0], **attributes)


def hearing(audio: str = "x", logits: str = "logits") -> list[Node]:
    """(batch, 1, samples) → (batch, frames, labels)."""
    return [
        node("Conv", [audio, "w"], ["conv"], strides=[STRIDE]),
        node("Relu", ["conv"], ["relu"]),
        node("Transpose", ["relu"], ["hidden"], perm=[0, 2, 1]),
        node("MatMul", ["hidden", "head"], [logits]),
    ]


def of_samples(logits: str = "logits", audio: str = "audio") -> list[Node]:
    """The same for (batch, samples)."""
    return [node("Unsqueeze", [audio, "axis1"], ["x"]), *hearing(logits=logits)]


def of_bands(bands: str = "features", logits: str = "logits") -> list[Node]:
    """(batch, bands, frames) → (batch, frames // 2, labels)."""
    return [
        node("Conv", [bands, "w_bands"], ["conv"], strides=[2], pads=[1, 1]),
        node("Transpose", ["conv"], ["hidden"], perm=[0, 2, 1]),
        node("MatMul", ["hidden", "head"], [logits]),
    ]


def save(
    path: Path, nodes: Sequence[Node], inputs: Sequence[Port], outputs: Sequence[Port]
) -> Path:
    """Write such a model, with metadata of its own."""
    random = np.random.default_rng(0)
    constants: dict[str, np.ndarray] = {
        "w": random.standard_normal((CHANNELS, 1, WINDOW)).astype(np.float32) / 20,
        "w_bands": random.standard_normal((CHANNELS, 80, 3)).astype(np.float32) / 16,
        "head": random.standard_normal((CHANNELS, len(LABELS))).astype(np.float32),
        **{f"axis{n}": np.array([n]) for n in range(3)},
        "chunk": np.array([1_600]),
        "three_zeros": np.zeros(3, np.int64),
        "scale": np.array(1 / 32_768, np.float32),
        "hop": np.array([STRIDE]),
        "less": np.array([WINDOW - STRIDE]),
    }
    used = {name for each in nodes for name in each.input}
    graph = helper.make_graph(
        list(nodes),
        "theirs",
        [helper.make_tensor_value_info(name, kind, axes) for name, kind, axes in inputs],
        [helper.make_tensor_value_info(name, kind, axes) for name, kind, axes in outputs],
        [numpy_helper.from_array(v, n) for n, v in constants.items() if n in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model.metadata_props.add(key="made_by", value="somebody")
    onnx.save(model, path)
    return path


def _whole_chunks() -> list[Node]:
    return [
        node("Shape", ["audio"], ["length"], start=1, end=2),
        node("Neg", ["length"], ["minus"]),
        node("Mod", ["minus", "chunk"], ["rest"]),
        node("Concat", ["three_zeros", "rest"], ["pads"], axis=0),
        node("Pad", ["audio", "pads"], ["filled"]),
        *of_samples(audio="filled"),
    ]


def _counted() -> list[Node]:
    """With an output that says how many frames each clip has, of its ``lens``."""
    return [
        *of_samples(),
        node("Sub", ["lens", "less"], ["inner"]),
        node("Div", ["inner", "hop"], ["frame_lens"]),
    ]


_AUDIO: Port = ("audio", FLOAT, ["batch", "samples"])
_LOGITS: Port = ("logits", FLOAT, ["batch", "frames", len(LABELS)])


def samples_models() -> dict[str, tuple[list[Node], list[Port], list[Port]]]:
    """Nodes, inputs and outputs of models of samples, by kind."""
    turned = node("Transpose", ["lg"], ["logits"], perm=[0, 2, 1])
    frames_first = node("Transpose", ["lg"], ["logits"], perm=[1, 0, 2])
    half = [node("Cast", ["audio"], ["wide"], to=FLOAT), *of_samples("lg", "wide")]
    whole = [
        node("Cast", ["audio"], ["wide"], to=FLOAT),
        node("Mul", ["wide", "scale"], ["scaled"]),
        *of_samples(audio="scaled"),
    ]
    return {
        "plain": (of_samples(), [_AUDIO], [_LOGITS]),
        "no shapes": (of_samples(), [("audio", FLOAT, None)], [("logits", FLOAT, None)]),
        "unknown axes": (
            of_samples(),
            [("audio", FLOAT, [None, None])],
            [("logits", FLOAT, [None, None, None])],
        ),
        "labels before frames": (
            [*of_samples("lg"), turned],
            [_AUDIO],
            [("logits", FLOAT, ["batch", len(LABELS), "frames"])],
        ),
        "frames before clips": (
            [*of_samples("lg"), frames_first],
            [_AUDIO],
            [("logits", FLOAT, ["frames", "batch", len(LABELS)])],
        ),
        "several outputs": (
            of_samples("5432"),
            [_AUDIO],
            [("hidden", FLOAT, ["batch", "frames", CHANNELS]), ("5432", *_LOGITS[1:])],
        ),
        "a channel": (hearing("audio"), [("audio", FLOAT, ["batch", 1, "n"])], [_LOGITS]),
        "a channel behind": (
            [node("Transpose", ["audio"], ["x"], perm=[0, 2, 1]), *hearing()],
            [("audio", FLOAT, ["batch", "n", 1])],
            [_LOGITS],
        ),
        "one clip": (
            [
                node("Unsqueeze", ["audio", "axis0"], ["row"]),
                *of_samples("lg", "row"),
                node("Squeeze", ["lg", "axis0"], ["logits"]),
            ],
            [("audio", FLOAT, ["n"])],
            [("logits", FLOAT, ["frames", len(LABELS)])],
        ),
        "one length": (of_samples(), [("audio", FLOAT, ["batch", 8_000])], [_LOGITS]),
        "whole chunks": (_whole_chunks(), [_AUDIO], [_LOGITS]),
        "four clips": (
            of_samples(),
            [("audio", FLOAT, [4, "samples"])],
            [("logits", FLOAT, [4, "frames", len(LABELS)])],
        ),
        "one clip of one length": (
            of_samples(),
            [("audio", FLOAT, [1, 8_000])],
            [("logits", FLOAT, [1, "frames", len(LABELS)])],
        ),
        "lengths in and out": (
            _counted(),
            [_AUDIO, ("lens", INT64, ["batch"])],
            [_LOGITS, ("frame_lens", INT64, ["batch"])],
        ),
        "float16 outside": (
            [*half, node("Cast", ["lg"], ["logits"], to=FLOAT16)],
            [("audio", FLOAT16, ["batch", "samples"])],
            [("logits", FLOAT16, ["batch", "frames", len(LABELS)])],
        ),
        "samples of 16 bits": (
            whole,
            [("audio", TensorProto.INT16, ["batch", "samples"])],
            [_LOGITS],
        ),
        "names of ours": (
            of_samples("log_probs", "waveform"),
            [("waveform", FLOAT, ["batch", "samples"])],
            [("log_probs", FLOAT, ["batch", "frames", len(LABELS)])],
        ),
    }


def features_models() -> dict[str, tuple[list[Node], list[Port], list[Port]]]:
    """The same of models of 80 bands."""
    length: Port = ("length", INT64, ["batch"])
    turned = node("Transpose", ["features"], ["bands"], perm=[0, 2, 1])
    return {
        "bands before frames": (
            of_bands(),
            [("features", FLOAT, ["batch", 80, "t"]), length],
            [_LOGITS],
        ),
        "frames before bands": (
            [turned, *of_bands("bands")],
            [("features", FLOAT, ["batch", "t", 80]), length],
            [_LOGITS],
        ),
        "bands of unknown shape": (of_bands(), [("features", FLOAT, None)], [_LOGITS]),
        "frames of one number": (of_bands(), [("features", FLOAT, [1, 80, 300])], [_LOGITS]),
    }
