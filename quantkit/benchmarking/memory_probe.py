"""Load one model, run it once, and print memory and times.

Run by :func:`~quantkit.benchmarking.memory.measure_footprint`.

It runs in a separate process, because resident memory does not shrink reliably and would include
models loaded before. It opens the session like an edge program, without the ``onnx`` package, whose
copy of the weights would be counted too. It prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from quantkit.arrays import Array
from quantkit.errors import InputError, ModelError, QuantkitError
from quantkit.runtime.graph_sessions import GraphSessions
from quantkit.tasks.catalogue import task_named

if TYPE_CHECKING:
    import onnx

_LOADS = 3


def main() -> None:
    """Measure the model named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--length", type=int, required=True, help="frames or samples of the clip")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    try:
        print(json.dumps(measure(arguments.model, arguments.length, arguments.threads)))
    except QuantkitError as error:
        sys.exit(str(error))


def measure(model: Path, length: int, threads: int) -> dict[str, float]:
    """Resident memory in bytes, load time in seconds and weight bytes of one model.

    Raises:
        ModelError: the model cannot be loaded or run.
    """
    idle = psutil.Process().memory_info().rss
    begin = time.perf_counter()
    graphs = GraphSessions.load(model, threads)
    loads = [time.perf_counter() - begin]
    _run_once(graphs, length)
    peak = peak_resident_bytes()
    del graphs
    for _ in range(_LOADS - 1):
        begin = time.perf_counter()
        GraphSessions.load(model, threads)
        loads.append(time.perf_counter() - begin)
    return {
        "idle_rss_bytes": idle,
        "peak_rss_bytes": peak,
        "load_s": statistics.median(loads),
        "weight_bytes": running_weight_bytes(model),
    }


def peak_resident_bytes() -> int:
    """Highest resident memory of this process so far.

    Linux lets ``ru_maxrss`` start at what the parent had when it forked; ``VmHWM`` does not.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    windows_peak = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if windows_peak is not None:
        return int(windows_peak)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def running_weight_bytes(model: Path) -> int:
    """Bytes of the constants in the graph after ONNX Runtime has optimised it.

    Packed weights are unpacked and folded while a session loads, so a run reads these bytes instead
    of those of the file. If the optimised graph cannot be saved, the file size is returned.
    """
    # Both import onnx, which must not be loaded during the measurement.
    from quantkit.graph.artifact import total_size
    from quantkit.runtime.optimised import optimised_graph

    try:
        graph = optimised_graph(model)
    except (ModelError, OSError):
        return total_size(model)
    return sum(_tensor_bytes(tensor) for tensor in graph.initializer)


def _tensor_bytes(tensor: onnx.TensorProto) -> int:
    import onnx

    elements: int = math.prod(tensor.dims)
    if tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4):
        return (elements + 1) // 2
    element_type = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return elements * int(element_type.itemsize)


def _run_once(graphs: GraphSessions, length: int) -> None:
    """Run noise of ``length`` frames or samples through all graphs, and one token behind it."""
    first = graphs.sessions[graphs.roles[0].role]
    clip = next(value for value in first.get_inputs() if value.name != "lengths")
    noise = np.random.default_rng(0).standard_normal(_clip_shape(graphs, clip.shape, length))
    known: dict[str, Array] = {
        clip.name: (0.1 * noise).astype(np.float32),
        "lengths": np.array([length]),
    }
    try:
        for role in graphs.roles:
            known |= graphs.states(role.role)
            for value in graphs.sessions[role.role].get_inputs():
                if value.name not in known:
                    # The first token, or the first position.
                    known[value.name] = np.zeros([_size(s) for s in value.shape], _type(value.type))
            known |= graphs.run(role.role, known)
    except ModelError as error:
        raise ModelError(f"the model fails on a clip of length {length}: {error}") from error


def _clip_shape(
    graphs: GraphSessions, shape: Sequence[int | str | None], length: int
) -> tuple[int, ...]:
    try:
        task = task_named(graphs.metadata.get("quantkit.task", ""))
    except InputError:
        # A task that only the calling program knows.
        task = task_named("")
    return task.clip_shape(shape, length)


def _size(size: int | str | None) -> int:
    return size if isinstance(size, int) else 1


def _type(name: str) -> str:
    """NumPy's name of an element type that ONNX Runtime calls ``tensor(int64)`` and the like."""
    inner = name.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)


if __name__ == "__main__":
    main()
