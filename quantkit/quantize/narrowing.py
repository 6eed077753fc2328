"""Scales, biases and norms of a quantized model take two bytes a number instead of four.

Where weights have four bits, the float32 vectors beside them are a fortieth of the file. float16
keeps 11 bits of each number: it is wrong by 2⁻¹¹ of it at most, a tenth of what eight bits do to a
weight. ``Cast`` makes float32 of them while ONNX Runtime loads the file, so nothing is slower.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.editor import GraphEditor
from quantkit.graph.tensors import tensor_array
from quantkit.quantize.balancing import multiplications
from quantkit.quantize.cleanup import captured_names
from quantkit.quantize.storage import stored_layers

#: Numbers from which on a vector saves more than the ``Cast`` takes.
FEWEST = 128
# Of the largest number of a vector.
_TOLERANCE = 2.0**-10
# Grids of integer kernels and weights are for others to read, who ask for float32 as it is.
_READERS = frozenset({"Add", "Sub", "Mul", "Div", "Gather", "LayerNormalization"})


def narrow_vectors(model: onnx.ModelProto, layers: Collection[str]) -> None:
    """Store float32 vectors as float16, in place, where that loses nothing that counts.

    Those are the scales and biases of ``layers``, what balances their inputs, and gain and bias of
    every layer normalization. A vector stays as it is where it has numbers that float16 does not
    reach, or that are small for float16 altogether.

    Args:
        layers: the quantized ones, by name. Their weights must not be packed yet.
    """
    editor = GraphEditor(model)
    captured = {name for node in editor.nodes for name in captured_names(node)}
    casts: list[onnx.NodeProto] = []
    for name in dict.fromkeys(_vectors(editor, model, layers)):
        tensor = editor.initializers[name]
        readers = {node.op_type for node in editor.consumers.get(name, [])}
        if not readers <= _READERS or name in captured or name in editor.outputs:
            continue
        values = tensor_array(tensor)
        if not _fits(values):
            continue
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
        wide = editor.free_name(f":w{len(casts)}")
        editor.redirect(name, wide)
        casts.append(_cast(name, wide))
    editor.nodes[:0] = casts
    editor.finish()


def saved_in_norms(model: onnx.ModelProto) -> int:
    """Bytes that :func:`narrow_vectors` saves in the layer normalizations of a float model."""
    editor = GraphEditor(model)
    return sum(
        saved(name, editor.initializers[name].dims)
        for name in dict.fromkeys(_norms(editor))
        if _is_vector(editor.initializers[name])
    )


def saved(name: str, dims: Collection[int]) -> int:
    """Bytes that narrowing saves in a vector called ``name``: half of it, less the ``Cast``."""
    elements = int(np.prod(list(dims)))
    return 2 * elements - _cast(name, ":w99").ByteSize() if elements >= FEWEST else 0


def _vectors(editor: GraphEditor, model: onnx.ModelProto, layers: Collection[str]) -> Iterator[str]:
    of_layers = (n for row in stored_layers(model) if row.name in layers for n in row.tensors)
    factors = (str(node.input[1]) for node in multiplications(editor))
    for name in (*of_layers, *factors, *_norms(editor)):
        if _is_vector(editor.initializers[name]):
            yield name


def _norms(editor: GraphEditor) -> Iterator[str]:
    """Gains and biases of layer normalizations."""
    for node in editor.nodes:
        if node.op_type == "LayerNormalization":
            yield from (name for name in node.input[1:] if name in editor.initializers)


def _is_vector(tensor: onnx.TensorProto) -> bool:
    """Whether it is float32, and long in one direction alone."""
    elements = int(np.prod(list(tensor.dims)))
    long = max(tensor.dims, default=0) == elements >= FEWEST
    return long and tensor.data_type == TensorProto.FLOAT


def _fits(values: npt.NDArray[np.float32]) -> bool:
    with np.errstate(over="ignore"):
        error = np.abs(values.astype(np.float16).astype(np.float32) - values)
    return bool(error.max(initial=0.0) <= _TOLERANCE * np.abs(values).max(initial=0.0))


def _cast(name: str, wide: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT)
