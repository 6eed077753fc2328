"""A graph whose weights lie in a file, so that parts of it can share them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO

import onnx

from quantkit.errors import OutputError
from quantkit.graph.tensors import embed, move_out, raw_bytes

# Shape and scale constants stay in the graph, where shape inference can read them.
_SMALLEST = 1024


def with_external_data(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
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
    graph.initializer.extend(external_tensors(model.graph.initializer, path))
    return light


def external_tensors(tensors: Iterable[onnx.TensorProto], path: Path) -> list[onnx.TensorProto]:
    """Copies of ``tensors`` of which the large ones have their elements in the file ``path``.

    Raises:
        OutputError: the folder or disk refuses.
    """
    try:
        with path.open("wb") as stream:
            return [_external_tensor(tensor, stream, path.name) for tensor in tensors]
    except OSError as error:
        raise OutputError(
            f"cannot put weights into {path.parent}: {error.strerror or error}; make room there, "
            "or let TMPDIR name another folder"
        ) from error


def _external_tensor(
    tensor: onnx.TensorProto, stream: IO[bytes], location: str
) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    raw = raw_bytes(tensor)
    if len(raw) < _SMALLEST:
        copy.CopyFrom(tensor)
        # Exporters leave small ones in a file, too, which the copy is not beside.
        embed([copy])
        return copy
    copy.name, copy.data_type = tensor.name, tensor.data_type
    copy.dims.extend(tensor.dims)
    move_out(copy, raw, stream, location)
    return copy
