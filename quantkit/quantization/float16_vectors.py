"""Scales, biases and norms of a quantized model take two bytes a number instead of four.

Where weights have four bits, the float32 vectors beside them are a fortieth of the file. float16
keeps 11 bits of each number: it is wrong by 2⁻¹¹ of it at most, a tenth of what eight bits do to a
weight. A power of two of the vector's own brings its largest number near the end of float16's
range, so that this holds for numbers of any magnitude, down to 2⁻²⁸ of the largest. ``Cast`` and
``Mul`` make float32 of them while ONNX Runtime loads the file, so nothing is slower.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import lookups
from quantkit.graph.partition import captured
from quantkit.graph.tensors import tensor_array
from quantkit.quantization.equalize.balancing import multiplications
from quantkit.quantization.storage import stored_layers

#: Numbers from which on a vector saves more than rebuilding it takes.
FEWEST = 128
#: What names of rebuilt vectors begin with.
WIDE = ":w"
# The largest number in float16 is below this power of two, which leaves room for rounding.
_EXPONENT = 15
# Grids of integer kernels and weights are for others to read, who ask for float32 as it is.
_READERS = frozenset({"Add", "Sub", "Mul", "Div", "LayerNormalization"})


def narrow_vectors(model: onnx.ModelProto, layers: Collection[str]) -> None:
    """Store float32 vectors of :data:`FEWEST` numbers and more as float16, in place.

    Those are the scales of ``layers`` and the biases that are added behind them, what balances
    their inputs, and gain and bias of every layer normalization.

    Args:
        layers: quantized ones of 8 bits at most, by name. Their weights must not be packed yet.
    """
    editor = GraphEditor(model)
    fixed = editor.outputs | {name for node in editor.nodes for name in captured(node)}
    rebuilding: list[onnx.NodeProto] = []
    for name in dict.fromkeys(_vectors(editor, model, layers)):
        readers = {node.op_type for node in editor.consumers.get(name, [])}
        if name in fixed or not readers <= _READERS.union(lookups()):
            continue
        tensor = editor.initializers[name]
        power, halves = _halves(tensor_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(halves, name))
        cast, factor, wide = _names(len(rebuilding) // 2)
        cast, wide = editor.free_name(cast), editor.free_name(wide)
        editor.redirect(name, wide)
        rebuilding += _rebuild(name, cast, editor.constant(factor, power), wide)
    editor.nodes[:0] = rebuilding
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
    """Bytes that narrowing saves in a vector called ``name``: half of it, less the rebuilding."""
    elements = int(np.prod(list(dims)))
    if elements < FEWEST:
        return 0
    names = _names(0)
    power = numpy_helper.from_array(np.array(1, np.float32), names[1])
    nodes = sum(int(node.ByteSize()) for node in _rebuild(name, *names))
    return 2 * elements - nodes - int(power.ByteSize())


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


def _halves(values: npt.NDArray[np.float32]) -> tuple[np.float32, npt.NDArray[np.float16]]:
    """A power of two, and what it is to be multiplied by; infinite numbers stay infinite."""
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0))
    # Of the smallest powers float32 has no reciprocal.
    exponent = max(math.frexp(largest)[1] - _EXPONENT, -125) if largest else 0
    power = np.float32(2.0**exponent)
    return power, (values / power).astype(np.float16)


def _names(number: int) -> tuple[str, str, str]:
    """Of what rebuilds a vector: short and of one length, as those in decoders are."""
    # No digits alone: those are what decoders count their values in.
    return f":n{number:03x}", f":p{number:03x}", f"{WIDE}{number:03x}"


def _rebuild(name: str, cast: str, power: str, wide: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [name], [cast], to=TensorProto.FLOAT),
        helper.make_node("Mul", [cast, power], [wide]),
    ]
