"""A recogniser of a few nodes, on disk with and without its front end, and a bench run of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.bundles import ship
from quantkit.exporting.frontend_graph import fuse_frontend
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.plan import PLAN_SCHEMA
from quantkit.text.labels import Labels

LABELS = Labels(("_", "a", "b", "ü"))


def recogniser(info: ArtifactInfo) -> onnx.ModelProto:
    """(batch, frames, 40) features → four labels by a fixed random matrix, frame by frame."""
    weight = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "weight"], ["scores"], name="layer1.matmul"),
            helper.make_node("LogSoftmax", ["scores"], ["log_probs"], axis=-1),
            helper.make_node("Identity", ["lengths"], ["output_lengths"]),
        ],
        "recogniser",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "frames", 40]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["batch", "frames", 4]),
            helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    set_info(model, info)
    return model


def tiny_info() -> ArtifactInfo:
    row = {"name": "layer1.matmul", "codec": "int8", "bits": 8, "compute": "dynamic"}
    rows = [{**row, "op": "MatMul", "shape": [40, 4], "range": "none"}]
    return ArtifactInfo(
        labels=LABELS,
        frontend=Frontend(),
        task="ctc",
        name="tiny",
        licence="CC0-1.0",
        version="0.1.0",
        model_sha256="ab" * 32,
        plan={"schema": PLAN_SCHEMA, "method": "by hand", "layers": rows},
    )


@pytest.fixture
def info() -> ArtifactInfo:
    return tiny_info()


@pytest.fixture
def artifact(tmp_path: Path, info: ArtifactInfo) -> Path:
    path = tmp_path / "models" / "int8.onnx"
    save_model(recogniser(info), path)
    return path


@pytest.fixture
def fused_artifact(tmp_path: Path, info: ArtifactInfo) -> Path:
    path = tmp_path / "models" / "fused.onnx"
    save_model(fuse_frontend(recogniser(info), Frontend()), path)
    return path


@pytest.fixture
def anonymous(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "anonymous.onnx"
    save_model(recogniser(ArtifactInfo()), path)
    return path


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped")
    save_model(recogniser(tiny_info()), folder / "int8.onnx")
    ship(folder / "int8.onnx", folder / "bundle")
    return folder / "bundle"


@pytest.fixture
def bundle(tmp_path: Path, shipped: Path) -> Path:
    """A bundle of the model of ``artifact`` that a test may spoil."""
    return Path(shutil.copytree(shipped, tmp_path / "bundle"))


@pytest.fixture
def waveform() -> npt.NDArray[np.float32]:
    """A second of noise on the grid of 16-bit samples, (samples,)."""
    samples = np.random.default_rng(1).integers(-9_000, 9_000, 16_000)
    return (samples / 32_768).astype(np.float32)


@pytest.fixture
def clip(tmp_path: Path, waveform: npt.NDArray[np.float32]) -> Path:
    path = tmp_path / "clip.wav"
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(16_000)
        stream.writeframes((waveform * 32_768).astype("<i2").tobytes())
    return path


@pytest.fixture
def bench_of(tmp_path: Path) -> Callable[[Path], Path]:
    """Write a ``bench.json`` that measured the given model."""

    def write(model: Path) -> Path:
        figures = {
            "name": model.stem,
            "path": model.name,
            "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
            "size_bytes": model.stat().st_size,
            "variant": "int8",
            "weight_bytes": 640,
            "weight_bytes_per_second": 64.0,
            "load_s": 0.01,
            "peak_rss_bytes": 50_000_000,
            "idle_rss_bytes": 40_000_000,
            "rtf": 0.0012,
            "decode_rtf": 0.0001,
            "speedup": 3.85,
            "speedup_ci": [3.7, 3.9],
            "latency_ms": [],
            "loss": 0.5,
            "levenshtein": 1.234,
            "levenshtein_ci": [1.1, 1.4],
            "cer": 0.0789,
            "cer_ci": [0.07, 0.09],
            "cer_edits": None,
            "wer": 0.2,
            "wer_ci": None,
            "wer_edits": None,
            "batches": [],
            "utterances": [],
        }
        host = {
            "cpu": "Some CPU", "machine": "x86_64", "system": "Linux 6", "cores": 2,
            "memory_bytes": 1, "flags": [], "vnni": True, "python": "3.11", "numpy": "2",
            "onnxruntime": "1.31.1", "onnx": "1", "quantkit": "0.1.0",
        }  # fmt: skip
        corpus = {"name": "calibration_data", "split": "", "utterances": 80, "seconds": 240.0}
        report = {
            "schema": "quantkit.bench/1",
            "created": "2026-01-01T00:00:00Z",
            "decoder": "greedy",
            "unit": "characters",
            "seed": 0,
            "latency_clip_seconds": 3.0,
            "seconds_taken": 1.0,
            "host": host,
            "corpus": {**corpus, "labelled": 80, "skipped": [], "skipped_count": 0},
            "models": [figures],
            "notes": [],
        }
        path = tmp_path / "bench.json"
        path.write_text(json.dumps(report))
        return path

    return write
