"""A Wav2Letter in small: strided, wide, even and pointwise convolutions with masks between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.runtime.session import create_session
from quantkit.text.labels import Labels

LABELS = Labels(("_", "a", "b", "c", "d", "e"))

# Kernel, stride, padding, outputs.
_GEOMETRY = [
    (8, 2, 3, 24),
    (7, 1, 3, 24),
    (7, 1, 3, 24),
    (4, 1, 2, 32),
    (1, 1, 0, 32),
    (1, 1, 0, 6),
]

Clip = tuple[str, dict[str, np.ndarray]]
Run = Callable[..., list[np.ndarray]]


def masked_convolutions(seed: int = 0, width: int = 1) -> onnx.ModelProto:
    """The model; ``width`` multiplies the channels of all layers but the last."""
    random = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, Any] = {
        "zero": np.float32(0),
        "zero_i": np.int64(0),
        "one_i": np.int64(1),
        "two": np.int64(2),
        "axes": np.array([1, 2]),
    }

    def add(op: str, inputs: list[str], output: str, name: str = "", **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name or output, **attributes))
        return output

    def mask(value: str, lengths: str, output: str) -> str:
        shape = add("Shape", [value], f"{output}.shape", start=2, end=3)
        frames = add("Squeeze", [shape], f"{output}.frames")
        index = add("Range", ["zero_i", frames, "one_i"], f"{output}.index")
        column = add("Unsqueeze", [lengths, "axes"], f"{output}.lengths")
        inside = add("Less", [index, column], f"{output}.inside")
        return add("Where", [inside, value, "zero"], output)

    value = add("Transpose", ["features"], "channel_major", perm=[0, 2, 1])
    value = mask(value, "lengths", "layer0.masked")
    hidden = add("Div", ["lengths", "two"], "hidden_lengths")
    channels = 40
    for number, (kernel, stride, padding, outputs) in enumerate(_GEOMETRY, 1):
        if number < len(_GEOMETRY):
            outputs *= width
        scale = np.sqrt(2 / (channels * kernel))
        weight = random.standard_normal((outputs, channels, kernel)) * scale
        constants[f"w{number}"] = weight.astype(np.float32)
        constants[f"b{number}"] = random.uniform(-0.1, 0.1, outputs).astype(np.float32)
        value = add(
            "Conv",
            [value, f"w{number}", f"b{number}"],
            f"layer{number}.out",
            f"layer{number}.conv",
            kernel_shape=[kernel],
            strides=[stride],
            pads=[padding, padding],
        )
        if number < len(_GEOMETRY):
            value = add("Relu", [value], f"layer{number}.relu")
        if number <= 3:
            value = mask(value, hidden, f"layer{number}.masked")
        channels = outputs
    logits = add("Transpose", [value], "logits", perm=[0, 2, 1])
    add("LogSoftmax", [logits], "log_probs", axis=-1)
    add("Add", [hidden, "one_i"], "output_lengths")
    graph = helper.make_graph(
        nodes,
        "masked convolutions",
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


def noise_feeds(*lengths: int, seed: int = 0) -> list[Clip]:
    """Clips of noise of so many frames, as the model takes them."""
    random = np.random.default_rng(seed)
    return [
        (
            f"clip{i}",
            {
                "features": random.standard_normal((1, frames, 40), np.float32),
                "lengths": np.array([frames]),
            },
        )
        for i, frames in enumerate(lengths)
    ]


@pytest.fixture
def model() -> onnx.ModelProto:
    return masked_convolutions()


@pytest.fixture
def source(tmp_path: Path, model: onnx.ModelProto) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(model, path)
    return path


@pytest.fixture
def clips() -> list[Clip]:
    """Calibration clips of different lengths and loudness."""
    random = np.random.default_rng(1)
    return [
        (
            f"clip{i}",
            {
                "features": loudness * random.standard_normal((1, frames, 40), np.float32),
                "lengths": np.array([frames]),
            },
        )
        for i, (frames, loudness) in enumerate([(60, 1.0), (201, 0.5), (33, 1.3), (120, 0.9)])
    ]


@pytest.fixture
def run() -> Run:
    """Run a model file on clips as one padded batch; log-probabilities of the valid frames."""

    def run(path: Path, clips: list[Clip]) -> list[np.ndarray]:
        lengths = np.array([len(feed["features"][0]) for _, feed in clips])
        # What lies behind a clip's end must not matter, so it is not zero here.
        batch = np.full((len(clips), int(lengths.max()), 40), 7.0, np.float32)
        for row, (_, feed) in zip(batch, clips, strict=True):
            row[: feed["features"].shape[1]] = feed["features"][0]
        log_probs, valid = create_session(path).run(
            ["log_probs", "output_lengths"], {"features": batch, "lengths": lengths}
        )
        return [rows[:count] for rows, count in zip(log_probs, valid, strict=True)]

    return run
