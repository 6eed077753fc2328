"""Packed weights, unpacked once: a file that loads as fast, and in as little memory, as plain int8.

ONNX Runtime unpacks all weights whenever it opens a packed file, and holds the intermediates of
many at once. Here each weight is computed by its own decoder in a session of its own and written
to disk, so that memory holds one at a time. The new file has the weights that every session of the
packed one computes, and hence the same outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import onnx
from onnx import TensorProto, helper

from quantkit.arrays import Array
from quantkit.disk.files import made_folder, output_target
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import InputError, OutputError
from quantkit.graph.artifact import open_files, save_model, total_size
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers
from quantkit.graph.integrity import stored_checksum
from quantkit.graph.partition import bodies, reads
from quantkit.graph.tensors import move_out
from quantkit.runtime.folding import FoldedConstants

#: Metadata entry of an unpacked model: the checksum of the file that it was made from.
UNPACKED_KEY = "quantkit.unpacked_from"

# What is computed from shorter constants is no weight.
_FEWEST_ELEMENTS = 128
# Shape and scale constants stay in the graph, where shape inference can read them.
_SMALLEST_MOVED = 1024
_RANDOM = frozenset(
    {
        *("Bernoulli", "Dropout", "Multinomial"),
        *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    }
)


@dataclass(frozen=True)
class Unpacked:
    """What :func:`unpack_model` wrote.

    Args:
        path: the new artifact; its weights lie in ``<path>.data``.
        tensors: that were unpacked: weights, scales, biases.
        size_bytes: of the artifact with its external files.
        source_bytes: the same of the packed one.
    """

    path: Path
    tensors: int
    size_bytes: int
    source_bytes: int


def unpack_model(source: Path, destination: Path) -> Unpacked:
    """Write ``source`` to ``destination`` with its weights as the kernels read them.

    Interface, metadata and outputs stay the same. The weights lie aligned in a second file, which
    ONNX Runtime maps into memory. Memory is needed for one weight at a time, and its decoder.

    Args:
        source: an artifact, of one graph or several.

    Raises:
        ModelError: it is damaged, or ONNX Runtime does not run a decoder.
        InputError: it is not quantkit's, or has nothing packed.
        OutputError: the folder or disk refuses.
    """
    opened = open_files(source)
    checksum = stored_checksum(source)
    if not checksum:
        raise InputError(f"{source} is not quantkit's, and has no packed weights")
    model, source_bytes = opened.graph, opened.size_bytes
    folded = _Folded.of(model)
    if not folded.values:
        raise InputError(f"{source} has no packed weights: it loads as it is")
    target, constants = output_target(destination), FoldedConstants(model, source)
    try:
        with made_folder(target.parent), TemporaryFolder("unpack", target.parent) as folder:
            with (folder / "weights").open("wb") as stream:
                tensors = [_tensor(name, constants.array(name), stream) for name in folded.values]
            _replace_nodes(model, folded, tensors)
            model.metadata_props.add(key=UNPACKED_KEY, value=checksum)
            save_model(model, destination, external_threshold=0)
    except OSError as error:
        raise OutputError(f"cannot write {destination}: {error.strerror or error}") from error
    return Unpacked(destination, len(tensors), total_size(destination), source_bytes)


@dataclass(frozen=True)
class _Folded:
    """What is computed ahead.

    Args:
        values: names, in the order in which the graph first reads them.
        dropped: positions of the nodes that compute constants only and are needed no more.
    """

    values: tuple[str, ...]
    dropped: frozenset[int]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> _Folded:
        """The values that depend on long constants only and are read by what does not.

        A ``DequantizeLinear`` and what follows it stay, because kernels of integers are found by
        it, and so does the ``Transpose`` of a weight that is read as it lies, too.
        """
        graph = model.graph
        long = {t.name for t in graph.initializer if math.prod(t.dims) >= _FEWEST_ELEMENTS}
        constant = {t.name for t in graph.initializer}
        floats: set[str] = set()
        makers: dict[str, int] = {}
        for index, node in enumerate(graph.node):
            names = tuple(reads(node))
            if not constant.issuperset(names) or node.op_type in _RANDOM or any(bodies(node)):
                continue
            outputs = [name for name in node.output if name]
            constant.update(outputs)
            makers |= dict.fromkeys(outputs, index)
            if long.intersection(names):
                long.update(outputs)
            from_integers = node.op_type == "DequantizeLinear" or bool(floats.intersection(names))
            if from_integers and node.op_type not in ("QuantizeLinear", "Shape"):
                floats.update(outputs)
        computing = {*makers.values()}
        read = [n for i, node in enumerate(graph.node) if i not in computing for n in reads(node)]
        direct = {*read}
        values: dict[str, None] = {}
        kept: set[int] = set()
        while read:
            name = read.pop(0)
            if name not in makers or name in values:
                continue
            node = graph.node[makers[name]]
            also_plain = node.op_type == "Transpose" and node.input[0] in direct
            if name in long and name not in floats and not also_plain:
                values[name] = None
            elif makers[name] not in kept:
                kept.add(makers[name])
                read += reads(node)
        given = {value.name for value in graph.output}
        return cls(tuple(n for n in values if n not in given), frozenset(computing - kept))


def _tensor(name: str, values: Array, stream: IO[bytes]) -> TensorProto:
    """``values`` as an initializer; those of a large one go to the end of ``stream``."""
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    tensor = TensorProto(name=name, data_type=kind, dims=values.shape)
    raw = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False).tobytes()
    if len(raw) < _SMALLEST_MOVED:
        tensor.raw_data = raw
    else:
        move_out(tensor, raw, stream, stream.name)
    return tensor


def _replace_nodes(model: onnx.ModelProto, folded: _Folded, tensors: list[TensorProto]) -> None:
    graph = model.graph
    for index in sorted(folded.dropped, reverse=True):
        if not {value.name for value in graph.output}.intersection(graph.node[index].output):
            del graph.node[index]
    graph.initializer.extend(tensors)
    drop_dead_nodes(graph)
    drop_unread_initializers(graph)
