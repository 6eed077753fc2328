"""Load one model, run it once, and print what that took.

To be run as ``python -m quantkit.benchmarking.memory_probe``.

A process of its own, because resident memory does not go down reliably and would count the models
that were loaded before. It opens the session as an edge program would, without the ``onnx``
package, whose copy of the weights would be counted too. Prints one JSON object.
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

from quantkit.errors import ModelError, QuantkitError
from quantkit.graph.part_names import DECODER_KEY, PAST
from quantkit.runtime.session import create_session

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_LOADS = 3
# Of Whisper, which hears 30 seconds at a time, however long the clip.
_WINDOW_FRAMES = 3_000


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
    sessions = _opened(model, threads)
    loads = [time.perf_counter() - begin]
    _run_once(sessions, length)
    peak = peak_resident_bytes()
    del sessions
    for _ in range(_LOADS - 1):
        begin = time.perf_counter()
        _opened(model, threads)
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

    Packed weights are unpacked and folded while a session loads, so this, and not the file, is
    what a run reads. A model whose optimised graph cannot be saved counts with its file size.
    """
    # Both import onnx, which must not be in memory while that is measured.
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


def _opened(model: Path, threads: int) -> list[onnxruntime.InferenceSession]:
    """The session of the model and, where it has one, of its decoder."""
    session = create_session(model, threads=threads)
    decoder = session.get_modelmeta().custom_metadata_map.get(DECODER_KEY)
    if decoder is None:
        return [session]
    return [session, create_session(model.with_name(decoder), threads=threads)]


def _run_once(sessions: Sequence[onnxruntime.InferenceSession], length: int) -> None:
    """Run noise of ``length`` frames or samples through an artifact, and a token behind it."""
    first, *decoders = sessions
    clip = next(value for value in first.get_inputs() if value.name != "lengths")
    random = np.random.default_rng(0)
    feed = {"lengths": np.array([length])}
    if decoders:
        # A window, with its bands before its frames.
        feed = {}
        shape = (1, clip.shape[1], min(length, _WINDOW_FRAMES))
    else:
        shape = (1, length, *clip.shape[2:])
    feed[clip.name] = (0.1 * random.standard_normal(shape)).astype(np.float32)
    # ONNX Runtime's exceptions share no base class but Exception.
    try:
        made = first.run(None, feed)
        for decoder in decoders:
            names = [value.name for value in first.get_outputs()]
            decoder.run(None, _token_feed(decoder, dict(zip(names, made, strict=True))))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"the model fails on a clip of length {length}: {reason}") from error


def _token_feed(
    decoder: onnxruntime.InferenceSession, heard: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The first token after what the encoder made."""
    past = {
        value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
        for value in decoder.get_inputs()
        if value.name.startswith(PAST)
    }
    return {**heard, **past, "tokens": np.zeros((1, 1), np.int64), "positions": np.array([0])}


if __name__ == "__main__":
    main()
