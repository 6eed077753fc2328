"""One weight in several layers, such as an embedding that is also the output layer's, transposed.

Exporters write a tied weight as one initializer with a ``Transpose``, as two initializers, or as
one that a ``Gemm`` reads transposed. While a model is quantized each layer has an initializer of
its own; layers whose weights are equal, output channel by output channel, get the same levels and
scales. At the end the file holds one of them, and the other reads it through a ``Transpose``, which
ONNX Runtime folds while it loads.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper

from quantkit.arrays import Array
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import layer_weights, lookups, products
from quantkit.graph.partition import reads
from quantkit.graph.tensors import end_bytes, tensor_array
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.choices.target_cpu import largest_levels, restricts
from quantkit.quantization.kernels.fast_fir import summed_weights

# Sharing less than this saves nothing, and small weights may be equal by chance.
_SMALLEST = 1024

Groups = Sequence[tuple[str, ...]]
_Moments = TypeVar("_Moments")


def separate_transposes(model: onnx.ModelProto) -> None:
    """Give layers that read a constant matrix through a ``Transpose`` a constant of their own.

    In place. :func:`merge_transposes` takes it back.
    """
    editor = GraphEditor(model)
    own: dict[str, str] = {}
    for node in [n for n in editor.nodes if n.op_type in (*products(), *lookups())]:
        for position, name in enumerate(node.input):
            maker = editor.producers.get(name)
            if maker is None or maker.op_type != "Transpose":
                continue
            values = editor.array(maker.input[0])
            if values is None or values.ndim != 2:
                continue
            if name not in own:
                order = editor.attributes(maker).get("perm", [1, 0])
                own[name] = editor.constant(f"{name}.constant", values.transpose(order))
            node.input[position] = own[name]
    if own:
        _drop_unread(editor, own)
        editor.finish()


def shared_weights(model: onnx.ModelProto, layers: Sequence[Layer]) -> Groups:
    """Names of layers with the same weight, in graph order; layers with one of their own lack."""
    editor = GraphEditor(model)
    weights = layer_weights(editor)
    tensors = {layer.name: weights[layer.name].tensor for layer in layers}
    large = {name: tensor for name, tensor in tensors.items() if _can_be_shared(tensor)}
    looks = {name: _look(tensor) for name, tensor in large.items() if tensor is not None}
    alike = Counter(looks.values())
    groups: dict[tuple[tuple[int, ...], bytes], list[str]] = {}
    for name, look in looks.items():
        if alike[look] == 1:
            continue
        weight = weights[name]
        rows = weight.rows()
        by_channel = np.moveaxis(rows, weight.axis(rows.ndim), 0)
        groups.setdefault((by_channel.shape, _digest(by_channel)), []).append(name)
    return [tuple(names) for names in groups.values() if len(names) > 1]


def agree(
    choices: Mapping[str, LayerChoice], groups: Groups
) -> tuple[dict[str, LayerChoice], dict[str, str]]:
    """Let layers that share a weight store it in one way.

    In each group the first layer that multiplies by packed blocks decides, else the first that
    stores integers, else the first that is not float32.

    Returns:
        the choices by layer name, and why, where one was changed.
    """
    agreed = dict(choices)
    notes: dict[str, str] = {}
    for group in groups:
        leader = max(group, key=lambda name: _rank(choices[name]))
        for name in group:
            choice, wanted = agreed[name], agreed[leader]
            if wanted.compute == "matmul-nbits":
                agreed[name] = wanted
            elif choice.codec != wanted.codec:
                agreed[name] = replace(choice, codec=wanted.codec)
            if agreed[name] != choice:
                notes[name] = (
                    f"it shares its weight with layer {leader}; both must have codec {wanted.codec}"
                )
                if wanted.compute == "matmul-nbits":
                    notes[name] += " and compute matmul-nbits"
    return agreed, notes


def limited_layers(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    choices: Mapping[str, LayerChoice],
    fitting: PtqSettings,
) -> dict[str, int]:
    """The largest level of each layer whose weight could overflow on the target processors.

    See :mod:`quantkit.quantization.choices.target_cpu`.
    """
    summed = summed_weights(layer_weights(GraphEditor(model)), choices)
    if not restricts(fitting.target_cpu) and not summed:
        return {}
    integer = [name for name, choice in choices.items() if choice.multiplies_bytes]
    return largest_levels(fitting.target_cpu, integer, shared_weights(model, layers), summed)


def share_moments(moments: Mapping[str, _Moments], groups: Groups) -> dict[str, _Moments]:
    """Of inputs, by layer name: what one layer met counts for all that share its weight."""
    shared = dict(moments)
    for group in groups:
        known = next((moments[name] for name in group if name in moments), None)
        if known is not None:
            shared |= dict.fromkeys(group, known)
    return shared


def merge_transposes(model: onnx.ModelProto, copies: Collection[str] = ()) -> None:
    """Store matrices that are each other's transpose once, in place.

    Args:
        copies: initializers to drop rather than their transposes; else the later one goes.
    """
    graph = model.graph
    untouchable = {value.name for value in graph.output}
    matrices = [
        tensor
        for tensor in graph.initializer
        if len(tensor.dims) == 2 and np.prod(tensor.dims) >= _SMALLEST
    ]
    # Most matrices are seen to differ by two of their elements, and are not read.
    looks = {tensor.name: _look(tensor) for tensor in matrices}
    alike = Counter(looks.values())
    paired = [tensor for tensor in matrices if alike[looks[tensor.name]] > 1]
    kept: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    nodes: list[onnx.NodeProto] = []
    dropped: set[str] = set()
    for tensor in sorted(paired, key=lambda t: t.name in copies):
        values = tensor_array(tensor)
        original = kept.get((tensor.data_type, values.T.shape, _digest(values.T)))
        if original is None or tensor.name in untouchable:
            kept.setdefault((tensor.data_type, values.shape, _digest(values)), tensor.name)
            continue
        name = f"{tensor.name}.transposed"
        nodes.append(helper.make_node("Transpose", [original], [tensor.name], name, perm=[1, 0]))
        dropped.add(tensor.name)
    if not dropped:
        return
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name in dropped:
            del graph.initializer[index]
    for node in reversed(nodes):
        graph.node.insert(0, node)


def _rank(choice: LayerChoice) -> int:
    if choice.compute == "matmul-nbits":
        return 3
    if not choice.codec.is_float:
        return 2
    return int(not choice.is_plain_float)


def _can_be_shared(tensor: TensorProto | None) -> bool:
    if tensor is None or tensor.data_type != TensorProto.FLOAT:
        return False
    elements: int = math.prod(tensor.dims)
    return elements >= _SMALLEST


def _look(tensor: TensorProto) -> tuple[object, ...]:
    """What tensors have in common that are equal but for their dimensions, and cheap to find."""
    return (tensor.data_type, math.prod(tensor.dims), *end_bytes(tensor))


def _digest(values: Array) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(values).data).digest()


def _drop_unread(editor: GraphEditor, values: Collection[str]) -> None:
    read = {name for node in editor.nodes for name in reads(node)} | editor.outputs
    for value in values:
        if value not in read:
            editor.replace(editor.producers[value], [])
