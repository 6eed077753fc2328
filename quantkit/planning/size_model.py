"""Predict the file size for any choice of layers, in microseconds.

:func:`~quantkit.planning.size.with_sizes` builds a file to measure its size. Choosing between
thousands of plans needs a sum instead: base + bytes of each layer + tables shared by decoders.
Packed weights, scales, biases, the decoders' nodes and the plan's own JSON are exact. The bytes of
a kernel's nodes are measured on a dry build in which all layers have that kernel, and divided
evenly. A layer whose neighbour has another kernel takes a few hundred bytes more.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from weakref import WeakKeyDictionary

import onnx

from quantkit.codecs.base import Codec, DecodeBuilder, stored_bytes
from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.codecs.pieces import decode_in_rounds, piece_sizes
from quantkit.codecs.rounds import is_delayed, round_zeros, rounds_for
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer, find_layers
from quantkit.graph.plan import Plan
from quantkit.planning.size import dry_build
from quantkit.quantization.choices.settings import LayerChoice, QuantizeSettings, row_of
from quantkit.quantization.equalize.balancing import multiplications
from quantkit.quantization.float16_vectors import saved, saved_in_norms
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import AssignedModel, PreparedModel
from quantkit.quantization.storage import stored_layers

#: Codecs whose weights are stored without a decoder.
_OWN_FORM = ("float16", "int16", "blocks")


@dataclass(frozen=True)
class _Place:
    """The unpacked levels of a weight, which a decoder would replace."""

    name: str
    shape: tuple[int, ...]
    axis: int
    header: int


@dataclass(frozen=True)
class _Kernel:
    """A dry build with one kernel for every layer that can have it.

    Args:
        tensors: bytes of weight, scales and bias, by layer.
        places: of the layers that store their levels first.
        nodes: mean additional bytes of a layer's nodes compared with a float layer.
    """

    tensors: Mapping[str, int]
    places: Mapping[str, _Place]
    nodes: int


@dataclass(frozen=True)
class _Taken:
    """Bytes of one layer itself, and of shared tables by name."""

    own: int
    tables: Mapping[str, int]


@dataclass(frozen=True)
class _Measured:
    """What was measured of one graph; it holds for every user's plans."""

    kernels: dict[tuple[str, str, int, str], _Kernel] = field(default_factory=dict)
    taken: dict[tuple[str, str], _Taken] = field(default_factory=dict)


# By prepared model, then by what tells its graphs apart.
_MEASURED: WeakKeyDictionary[PreparedModel, dict[Hashable, _Measured]] = WeakKeyDictionary()


class SizeModel:
    """Predicts the file size from the choice of every layer of one model.

    ::

        sizes = SizeModel(Path("float32.onnx"))
        sizes.total({name: LayerChoice("static", INT8, range="min-max") for name in sizes.layers})

    A kernel is measured on first use, which takes as long as
    :func:`~quantkit.planning.size.with_sizes`; what was measured is kept as long as the prepared
    model, because it does not depend on clips. On the shipped model predictions are within 300
    bytes if all layers have the same kernel, whatever their codecs, and within 2.2 kB if kernels
    differ. Decoders are taken to be folded in all rounds of :mod:`quantkit.codecs.rounds`: a large
    file with fewer packed layers than rounds is up to 1 kB smaller.

    Args:
        source: the float model.
        settings: only the passes to skip are used.
        assigned: ``source`` with choices that quantize every layer, if they exist already.

    Raises:
        ModelError: see :func:`~quantkit.quantization.quantize_model`.
    """

    def __init__(
        self,
        source: Path | PreparedModel,
        settings: QuantizeSettings | None = None,
        assigned: AssignedModel | None = None,
    ) -> None:
        self._source = PreparedModel.of(source)
        self._settings = QuantizeSettings(skip_passes=settings.skip_passes if settings else ())
        # With a codec that every layer supports, so that the graph is the rewritten one.
        assigned = assigned or prepare(self._source, replace(self._settings, codec=INT8))
        #: By name, in graph order.
        self.layers: Mapping[str, Layer] = {layer.name: layer for layer in assigned.layers}
        self._skeleton = replace(assigned.plan, layers=())
        floats = {row.name: row.bytes for row in stored_layers(assigned.model)}
        self._floats = {name: floats.get(name, 0) for name in self.layers}
        self._graph = self._source.size_bytes - sum(self._floats.values())
        self._graph -= _json_of(assigned.info.plan)
        self._saved_in_norms = saved_in_norms(assigned.model)
        self._graph -= self._saved_in_norms
        self._balances = _balances_bytes(assigned.model)
        numbers = self._graph, self._saved_in_norms, self._balances
        graph = self._settings.skip_passes, tuple(self._floats.items()), numbers
        known = _MEASURED.setdefault(self._source, {}).setdefault(graph, _Measured())
        self._kernels, self._taken = known.kernels, known.taken

    def bytes_of(self, layer: str, choice: LayerChoice) -> int:
        """Bytes of ``layer`` with ``choice``, including its row in the plan.

        Shared tables are not included; see :meth:`tables_of`.
        """
        return self._of(layer, choice).own

    def tables_of(self, layer: str, choice: LayerChoice) -> Mapping[str, int]:
        """Bytes of the shared tables that ``choice`` needs, by name; each is stored once."""
        return self._of(layer, choice).tables

    def total(self, choices: Mapping[str, LayerChoice]) -> int:
        """The size of the file with these choices."""
        taken = [self._of(name, choice) for name, choice in choices.items()]
        tables: dict[str, int] = {}
        for each in taken:
            tables |= each.tables
        size = self.base + sum(each.own for each in taken) + sum(tables.values())
        quantized = any(not choice.is_plain_float for choice in choices.values())
        return size if quantized else size + self._saved_in_norms

    @cached_property
    def base(self) -> int:
        """Bytes of the file outside its layers, if at least one is quantized."""
        stand_in = replace(self._skeleton, budget_bytes=10**7, predicted_bytes=10**7)
        return self._graph + self._balances + _json_of(stand_in.to_json())

    @property
    def model_sha256(self) -> str:
        """Of the float model."""
        return self._skeleton.model_sha256

    def plan(self, choices: Mapping[str, LayerChoice], method: str) -> Plan:
        """``choices`` as a plan, without sizes."""
        rows = tuple(row_of(layer, choices[name]) for name, layer in self.layers.items())
        return replace(self._skeleton, layers=rows, method=method)

    def _of(self, layer: str, choice: LayerChoice) -> _Taken:
        key = (layer, choice_label(choice))
        if key not in self._taken:
            self._taken[key] = self._measured(layer, choice)
        return self._taken[key]

    def _measured(self, name: str, choice: LayerChoice) -> _Taken:
        tables: dict[str, int] = {}
        if choice.is_plain_float:
            tensors = self._floats[name]
            return _Taken(tensors + self._row_bytes(name, choice, tensors), tables)
        kernel = self._kernel(choice)
        nodes, tensors, place = kernel.nodes, kernel.tensors[name], kernel.places.get(name)
        if place is not None and choice.codec.name not in ("int8", *_OWN_FORM):
            codec = choice.codec.make()
            tensors += stored_bytes(codec, place.shape, place.axis)
            tensors -= stored_bytes(INT8.make(), place.shape, place.axis)
            rounds = rounds_for(sum(prod(each.shape) for each in kernel.places.values()))
            decoder, tables = _decoder_bytes(codec, place, rounds)
            nodes += decoder
        return _Taken(tensors + nodes + self._row_bytes(name, choice, tensors), tables)

    def _row_bytes(self, name: str, choice: LayerChoice, stored: int) -> int:
        row = replace(row_of(self.layers[name], choice), bytes=stored)
        return _json_of(row.to_row()) + len(", ")

    def _kernel(self, choice: LayerChoice) -> _Kernel:
        codec = choice.codec if choice.codec.name in _OWN_FORM else INT8
        key = (choice.compute, str(codec), choice.activation_bits, choice.dynamic_range)
        if key not in self._kernels:
            self._kernels[key] = self._built(choice, codec)
        return self._kernels[key]

    def _built(self, choice: LayerChoice, codec: CodecChoice) -> _Kernel:
        compute = choice.compute
        settings = replace(
            self._settings,
            compute=compute,
            codec=codec,
            activation_bits=choice.activation_bits,
            dynamic_range=choice.dynamic_range,
        )
        dry = dry_build(self._source, settings)
        tensors = {row.name: row.bytes for row in dry.plan.layers}
        graph = (dry.plan.predicted_bytes or 0) - sum(tensors.values())
        graph -= _json_of(dry.plan.to_json())
        changed = sum(row.compute == compute and row.codec == codec.name for row in dry.plan.layers)
        return _Kernel(
            tensors=tensors,
            places=_places(dry.model, {n: e.axis for n, e in dry.weights.stored.items()}),
            nodes=round((graph - self._graph) / max(changed, 1)),
        )


def _places(model: onnx.ModelProto, axes: Mapping[str, int]) -> dict[str, _Place]:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    places: dict[str, _Place] = {}
    seen: set[str] = set()
    for layer in find_layers(model):
        if layer.weight in axes and layer.weight not in seen:
            seen.add(layer.weight)
            tensor = tensors[layer.weight]
            header = tensor.ByteSize() - len(tensor.raw_data)
            shape = tuple(tensor.dims)
            places[layer.name] = _Place(layer.weight, shape, axes[layer.weight], header)
    return places


def _decoder_bytes(codec: Codec, place: _Place, rounds: int) -> tuple[int, dict[str, int]]:
    """Bytes of decoding besides the packed ones: nodes and names, and what decoders share.

    Args:
        rounds: in which the decoders of the file are folded.
    """
    builder = DecodeBuilder()
    parts = codec.parts(place.shape, place.axis)
    names = {part.name: f"{place.name}.{part.name}" for part in parts}
    chain: dict[str, int] = {}
    if rounds > 1 and any(is_delayed(part) for part in parts):
        ahead = DecodeBuilder()
        zero = round_zeros(rounds, ahead)[-1]
        chain = {f"{rounds} rounds": sum(_framed(node.ByteSize()) for node in ahead.nodes)}
        chain |= {name: _framed(each.ByteSize()) for name, each in ahead.constants.items()}
        zeros = [zero] * len(piece_sizes(codec, place.shape, place.axis))
        decode_in_rounds(codec, place.shape, place.axis, names, zeros, builder)
    else:
        codec.decode(place.shape, place.axis, names, builder)
    headers = [
        onnx.TensorProto(name=names[p.name], data_type=p.data_type, dims=p.shape) for p in parts
    ]
    nodes = sum(_framed(node.ByteSize()) for node in builder.nodes)
    # Each part also has the frame of its raw bytes.
    tensors = sum(
        _framed(_framed(part.bytes) + header.ByteSize()) - part.bytes
        for part, header in zip(parts, headers, strict=True)
    )
    tables = {name: _framed(table.ByteSize()) for name, table in builder.constants.items()}
    tables |= chain
    return nodes + tensors - place.header, tables


def _balances_bytes(model: onnx.ModelProto) -> int:
    """Bytes of the multiplications before balanced layers."""
    editor = GraphEditor(model)
    taken = 0
    for node in multiplications(editor):
        factors = editor.initializers[node.input[1]]
        taken += node.ByteSize() + factors.ByteSize() - saved(factors.name, factors.dims)
    return taken


def _framed(size: int) -> int:
    """Bytes of a protobuf field with a message of ``size`` bytes: tag, length, message."""
    return size + 1 + max(1, -(-size.bit_length() // 7))


def _json_of(document: object) -> int:
    """Bytes of ``document`` in the metadata of a file; 0 for None."""
    return 0 if document is None else len(json.dumps(document, ensure_ascii=False).encode())


def choice_label(choice: LayerChoice) -> str:
    """A choice as a short label.

    >>> choice_label(LayerChoice("static", INT8, 6, "min-max"))
    'int8@static/6 min-max'
    """
    return f"{choice.codec}@{choice.compute}/{choice.activation_bits} {choice.range}"
