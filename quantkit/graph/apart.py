"""A graph whose weights lie in a file, so that parts of it can share them."""

from __future__ import annotations

from pathlib import Path

import onnx

from quantkit.errors import OutputError
from quantkit.graph.tensors import leave_in_file, raw_bytes

# Shape and scale constants stay in the graph, where shape inference can read them.
_SMALLEST = 1024

# Page-aligned tensors can be mapped into memory instead of being read.
_ALIGNMENT = 4096


def with_weights_apart(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """A copy of ``model`` without its large weights, which are written to ``path``.

    Models made of the copy's nodes and initializers load when they lie in the folder of ``path``;
    ONNX Runtime maps the weights into memory, and does not copy them. Nothing lasting is meant:
    for artifacts, see :func:`quantkit.graph.artifact.save_model`.

    Args:
        model: is not changed, nor does its memory grow, as it would if its weights were taken out
            and put back.

    Raises:
        OutputError: the folder or disk refuses.
    """
    light = onnx.ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph = light.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.sparse_initializer.extend(model.graph.sparse_initializer)
    try:
        with path.open("wb") as stream:
            for tensor in model.graph.initializer:
                raw = raw_bytes(tensor)
                if len(raw) < _SMALLEST:
                    graph.initializer.append(tensor)
                    continue
                stream.write(bytes(-stream.tell() % _ALIGNMENT))
                moved = graph.initializer.add(name=tensor.name, data_type=tensor.data_type)
                moved.dims.extend(tensor.dims)
                leave_in_file(moved, path.name, stream.tell(), len(raw))
                stream.write(raw)
    except OSError as error:
        raise OutputError(
            f"cannot put weights into {path.parent}: {error.strerror or error}; make room there, "
            "or let TMPDIR name another folder"
        ) from error
    return light
