"""Files in ONNX Runtime's own format, ``.ort``, as ``.onnx``.

ONNX Runtime reads both formats and writes both: a session that optimises nothing writes what it has
read. Such a file holds the graph as it was when it was converted, with the operators that ONNX
Runtime had fused by then, which :mod:`quantkit.conversion.contrib` takes apart as those of any
optimised ``.onnx``.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime

from quantkit.graph.partition import graphs_within
from quantkit.runtime.errors import runtime_errors

#: What the names of such files end with.
SUFFIX = ".ort"


def write_as_onnx(source: Path, destination: Path) -> None:
    """Write the graph in ``source`` as an ``.onnx``.

    Raises:
        ModelError: ONNX Runtime does not read it.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(destination)
    options.add_session_config_entry("session.save_model_format", "ONNX")
    options.add_session_config_entry("session.load_model_format", "ORT")
    options.log_severity_level = 4
    with runtime_errors(f"{source} is no model in ONNX Runtime's own format"):
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    model = onnx.load(destination)
    graphs = [*graphs_within(model.graph)]
    for number, graph in enumerate(graphs):
        # The format has no names of graphs, and an .onnx without them is refused.
        graph.name = graph.name or f"graph{number}"
    # It names every set of operators that it knows.
    domains = {node.domain for graph in graphs for node in graph.node} | {""}
    kept = [each for each in model.opset_import if each.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.save(model, destination)
