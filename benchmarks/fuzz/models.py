"""Small models to damage: a recogniser of log-mel features, and a foreign one of waveforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.text.labels import Labels

LABELS = Labels(("<blank>", " ", "a", "b", "c", "d", "e", "é"))
RATE = 16_000

_KERNEL, _WIDTH = 5, 24


def recogniser() -> onnx.ModelProto:
    """Three convolutions over log-mel features; its text follows the audio, and means nothing."""
    random = np.random.default_rng(0)
    constants: dict[str, Any] = {"two": np.int64(2), "one": np.int64(1)}
    nodes = [helper.make_node("Transpose", ["features"], ["x0"], "x0", perm=[0, 2, 1])]
    channels = 40
    for number, outputs in enumerate((_WIDTH, _WIDTH, len(LABELS)), 1):
        weight = random.standard_normal((outputs, channels, _KERNEL)) * (channels * 2) ** -0.5
        constants[f"w{number}"] = weight.astype(np.float32)
        constants[f"b{number}"] = random.uniform(-0.3, 0.3, outputs).astype(np.float32)
        nodes.append(
            helper.make_node(
                "Conv",
                [f"x{number - 1}", f"w{number}", f"b{number}"],
                [f"y{number}"],
                f"layer{number}",
                kernel_shape=[_KERNEL],
                strides=[2 if number == 1 else 1],
                pads=[2, 2],
            )
        )
        last = number == 3
        nodes.append(
            helper.make_node("Identity" if last else "Relu", [f"y{number}"], [f"x{number}"])
        )
        channels = outputs
    nodes += [
        helper.make_node("Transpose", ["x3"], ["logits"], "logits", perm=[0, 2, 1]),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"], "log_probs", axis=-1),
        helper.make_node("Add", ["lengths", "one"], ["longer"], "longer"),
        helper.make_node("Div", ["longer", "two"], ["output_lengths"], "output_lengths"),
    ]
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "frames", 40]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            helper.make_tensor_value_info(
                "log_probs", TensorProto.FLOAT, ["batch", "time", len(LABELS)]
            ),
            helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model.producer_name = "quantkit"
    info = ArtifactInfo(
        LABELS, Frontend(), task="ctc", model_sha256="ab" * 32, name="small", licence="CC0-1.0"
    )
    set_info(model, info)
    return model


def foreign() -> onnx.ModelProto:
    """A model of waveforms as others export them, without our metadata."""
    random = np.random.default_rng(1)
    first = random.standard_normal((12, 1, 400)).astype(np.float32) / 20
    second = random.standard_normal((len(LABELS), 12, 3)).astype(np.float32) / 6
    nodes = [
        helper.make_node("Unsqueeze", ["audio", "axis"], ["x0"], "x0"),
        helper.make_node("Conv", ["x0", "w1"], ["y1"], "conv1", strides=[160], pads=[200, 199]),
        helper.make_node("Relu", ["y1"], ["x1"], "relu1"),
        helper.make_node("Conv", ["x1", "w2", "b2"], ["y2"], "conv2", pads=[1, 1]),
        helper.make_node("Transpose", ["y2"], ["logits"], "logits", perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["n", "t"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", "s", len(LABELS)])],
        [
            numpy_helper.from_array(np.array([1]), "axis"),
            numpy_helper.from_array(first, "w1"),
            numpy_helper.from_array(second, "w2"),
            numpy_helper.from_array(np.linspace(-1, 1, len(LABELS)).astype(np.float32), "b2"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_models(folder: Path) -> None:
    """``model.onnx``, ``external/model.onnx`` with its weights beside it, and ``foreign.onnx``."""
    save_model(recogniser(), folder / "model.onnx")
    save_model(recogniser(), folder / "external" / "model.onnx", external_threshold=0)
    onnx.save(foreign(), folder / "foreign.onnx")
    (folder / "labels.txt").write_text("\n".join(LABELS.tokens) + "\n", encoding="utf-8")
    write_corpus(folder / "clips")


def speech(seconds: float, seed: int) -> np.ndarray:
    """(samples,) float32 at 16 kHz: chirps with pauses, within [-0.8, 0.8]."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 200 + 1500 * np.abs(np.sin(2 * np.pi * time * random.uniform(1, 3)))
    loudness = np.clip(np.sin(2 * np.pi * 2 * time + seed), 0, 1)
    wave = 0.6 * loudness * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
    return (wave + 0.01 * random.standard_normal(time.size)).clip(-0.8, 0.8).astype(np.float32)


def write_corpus(folder: Path) -> None:
    """Six clips of two speakers with a ``manifest.tsv``."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    for number in range(6):
        name, split = f"clip{number}.wav", "calibration" if number < 4 else "test"
        soundfile.write(folder / name, speech(0.6 + 0.1 * number, number), RATE)
        speaker, gender = ("ann", "f") if number % 2 else ("bob", "m")
        seconds = f"{0.6 + 0.1 * number:.1f}"
        rows.append("\t".join((name, split, speaker, gender, "en", seconds, "a bad cab")))
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
