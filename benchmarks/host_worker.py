"""Runs models on stored inputs, with ONNX Runtime and NumPy alone: for another processor's Python.

``python host_worker.py MODELS INPUTS RESULTS``: a folder of ``.onnx``, an ``.npz`` with an array
``run/input`` for each input of each run, and the ``.npz`` to write, with the first output of each
run as ``model/run``. Where the inputs of a model are named after it, ``model:run/input``, it gets
those alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime


def runs_of(
    model: str, arrays: dict[str, np.ndarray]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Name and inputs of each run of a model."""
    own = any(key.startswith(f"{model}:") for key in arrays)
    runs: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        owner, _, rest = key.rpartition(":")
        if owner == (model if own else ""):
            run, _, name = rest.partition("/")
            runs.setdefault(run, {})[name] = array
    yield from runs.items()


def main(models: Path, inputs: Path, results: Path) -> None:
    """Run each model on each of its inputs."""
    with np.load(inputs) as stored:
        arrays = {key: stored[key] for key in stored.files}
    found = {}
    for path in sorted(models.glob("*.onnx")):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        for run, feed in runs_of(path.stem, arrays):
            found[f"{path.stem}/{run}"] = session.run(None, feed)[0]
    np.savez(results, **found)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
