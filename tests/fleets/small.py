"""A model of two layers, some users with noise for audio, and settings that take little time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.codecs.catalogue import CodecChoice
from quantkit.fleets.users import FleetUser
from quantkit.fleets.work import FleetSetup
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.personalization.pipeline import PersonalizeSettings
from tests.api.small import clips, write_clips
from tests.small_model import LABELS

#: Bytes that every plan of these settings fits into, and bytes that none does.
ENOUGH, LARGER, IMPOSSIBLE = 30_000, 40_000, 2_000
CANDIDATES = ("bitplane:4", "int8")
SETTINGS = PersonalizeSettings(
    candidates=tuple(map(CodecChoice.parse, CANDIDATES)), rounds=0, balance=False, front=False
)


def write_model(folder: Path, width: int = 64) -> Path:
    """Two convolutions and a softmax."""
    random = np.random.default_rng(0)
    first = random.standard_normal((width, 40, 5)).astype(np.float32) / 12
    second = random.standard_normal((6, width, 1)).astype(np.float32) / 4
    nodes = [
        helper.make_node("Transpose", ["features"], ["x"], "turn", perm=[0, 2, 1]),
        helper.make_node("Conv", ["x", "w1"], ["y"], "one", strides=[2], pads=[2, 2]),
        helper.make_node("Relu", ["y"], ["z"], "relu"),
        helper.make_node("Conv", ["z", "w2"], ["a"], "two"),
        helper.make_node("Transpose", ["a"], ["b"], "back", perm=[0, 2, 1]),
        helper.make_node("LogSoftmax", ["b"], ["log_probs"], "softmax", axis=-1),
        helper.make_node("Add", ["lengths", "one_i"], ["more"], "more"),
        helper.make_node("Div", ["more", "two_i"], ["output_lengths"], "half"),
    ]
    numbers = {"w1": first, "w2": second, "one_i": np.int64(1), "two_i": np.int64(2)}
    graph = helper.make_graph(
        nodes,
        "two layers",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "frames", 40]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["batch", "time", 6]),
            helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    info = ArtifactInfo(LABELS, Frontend(), task="ctc", model_sha256="ab" * 32, name="tiny")
    set_info(model, info)
    onnx.checker.check_model(model)
    path = folder / "float32.onnx"
    save_model(model, path)
    return path


def write_users(folder: Path, names: list[str], count: int = 2) -> Path:
    """A folder of clips for each, and the table of them."""
    for seed, name in enumerate(names):
        write_clips(folder / "audio" / name, clips(count, seed))
    rows = [f"{name}\taudio/{name}" for name in names]
    table = folder / "users.tsv"
    table.write_text("\n".join(["user\taudio", *rows]) + "\n", encoding="utf-8")
    return table


def user(folder: Path, name: str) -> FleetUser:
    """One that :func:`write_users` has written."""
    return FleetUser(name, str(folder / "audio" / name))


def setup_of(model: Path, output: Path | str, *budgets: int) -> FleetSetup:
    """A fleet that takes little time."""
    return FleetSetup(model, str(output), budgets or (ENOUGH,), SETTINGS)


def arguments(table: Path, model: Path, output: Path | str, *more: object) -> list[str]:
    """Of ``quantkit fleet``, for the same settings."""
    found = ["fleet", table, "--model", model, "-o", output, "--rounds", 0, "--no-auto-balance"]
    for candidate in CANDIDATES:
        found += ["--candidate", candidate]
    if "--budgets" not in more:
        found += ["--budgets", f"{ENOUGH}B"]
    return [str(each) for each in (*found, *more)]


def command(*words: str) -> subprocess.Popen[str]:
    """``quantkit …`` in a process of its own."""
    code = "import sys; from quantkit.cli import main; main(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def records(output: Path) -> dict[str, int]:
    """When the record of each job was written, in nanoseconds."""
    # What begins with a point is being written.
    found = output.glob("jobs/*/[!.]*.json")
    return {path.stem: path.stat().st_mtime_ns for path in found}
