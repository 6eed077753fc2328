"""Graphs in ONNX Runtime's own format."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnxruntime


def write_ort(
    source: Path,
    destination: Path,
    level: onnxruntime.GraphOptimizationLevel = (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ),
) -> None:
    """As ONNX Runtime's converter does it, with what it fuses at ``level``."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(destination)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def folder_of_ort(source: Path, destination: Path) -> Path:
    """A published folder whose graphs are ``.ort``."""
    destination.mkdir()
    for file in source.iterdir():
        if file.suffix == ".onnx":
            write_ort(file, destination / f"{file.stem}.ort")
        else:
            shutil.copy(file, destination)
    return destination
