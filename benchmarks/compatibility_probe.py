"""Load and run one model in whatever ONNX Runtime this Python has; for ``compatibility.py``.

Needs onnxruntime and numpy, nothing of quantkit, and runs on Python 3.8::

    python compatibility_probe.py MODEL REQUEST RESULT OPTIMISED

REQUEST is a JSON object of inputs by name, each ``{"type", "dims", "data"}`` with NumPy's name of
the type and the little-endian bytes in base64. RESULT gets ``{"version", "error", "outputs"}`` in
the same form, OPTIMISED the graph that ONNX Runtime makes of the model.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

_LOG_FATAL_ONLY = 4


def run(model: str, request: dict[str, Any], optimised: str) -> dict[str, Any]:
    """The outputs by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL_ONLY
    options.optimized_model_filepath = optimised
    # Only the graph is read: the weights go to a file of their own.
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_file_name", "weights.bin"
    )
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", "1024"
    )
    session = onnxruntime.InferenceSession(
        model, sess_options=options, providers=["CPUExecutionProvider"]
    )
    feeds = {}
    for value in session.get_inputs():
        given = request[value.name]
        data = np.frombuffer(base64.b64decode(given["data"]), given["type"])
        feeds[value.name] = data.reshape(given["dims"])
    names = [value.name for value in session.get_outputs()]
    outputs = session.run(names, feeds)
    return {name: encoded(outputs[index]) for index, name in enumerate(names)}


def encoded(array: Any) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"type": str(array.dtype), "dims": list(array.shape), "data": data}


def main(model: str, request_path: str, result_path: str, optimised: str) -> None:
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    result: dict[str, Any] = {"version": onnxruntime.__version__, "error": None, "outputs": {}}
    try:
        result["outputs"] = run(model, request, optimised)
    # ONNX Runtime's exceptions share no base class but Exception.
    except Exception as error:
        result["error"] = " ".join(str(error).split())
    Path(result_path).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
