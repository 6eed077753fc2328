"""The weights of one file on their way: float, on an integer grid, packed.

Rewriting puts each weight into the graph as a plain integer initializer, in the layout that its
kernel reads. :meth:`WeightStore.pack` then replaces each by its packed tensors and the nodes that
rebuild it. What the kernel computes is the same before and after, bit for bit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import onnx

from quantkit.arrays import FloatArray
from quantkit.calibration.observations import Observations
from quantkit.codecs.base import Codec, DecodeBuilder, Encoded, Weight, blank
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.pieces import decode_in_rounds, piece_sizes
from quantkit.codecs.rounds import allotted, is_delayed, round_zeros, rounds_for
from quantkit.errors import InputError, ModelError
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.operators import LayerWeight, node_weights
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.target_cpu import is_fitted
from quantkit.quantization.encodings import Encodings, MomentsChoice, encoding_key

_FLOATS = ("float16", "float32")
_SMALL_BYTES = 4096


# Codec, axis, shape, largest level and content of a weight. What it meets is no part of it: how
# often equal weights are stored would depend on the clips then, and the size was foretold.
_Key = tuple[Codec, int, tuple[int, ...], int | None, bytes]


@dataclass(frozen=True)
class _Stored:
    codec: Codec
    encoded: Encoded


@dataclass
class WeightStore:
    """Encodes the weights of one model, each once, and remembers where they lie.

    Args:
        codecs: by layer name.
        observations: what the layers' inputs are like.
        fitting: how levels are found.
        dry: encode random weights of the right types and shapes: the graph will have its exact
            size, in a fraction of the time, and no use.
        encodings: to share with others.
        for_estimates: see :class:`~quantkit.codecs.base.Weight`.
        largest_levels: of layers whose kernel would overflow beyond, by name; see
            :mod:`quantkit.quantization.choices.target_cpu`.
    """

    codecs: Mapping[str, Codec]
    observations: Observations = field(default_factory=Observations)
    fitting: PtqSettings = field(default_factory=PtqSettings)
    dry: bool = False
    encodings: Encodings = field(default_factory=lambda: Encodings(memory=0))
    for_estimates: bool = False
    largest_levels: Mapping[str, int] = field(default_factory=dict)
    _encoded: dict[_Key, Encoded] = field(default_factory=dict)
    _stored: dict[str, _Stored] = field(default_factory=dict)
    _scales: dict[str, FloatArray] = field(default_factory=dict)
    _unmerged: set[str] = field(default_factory=set)

    @property
    def second_moments(self) -> Mapping[str, FloatArray]:
        """Mean square of each input channel of a layer."""
        return self.observations.second_moments

    @property
    def means(self) -> Mapping[str, FloatArray]:
        """Mean of each input channel of the layers whose bias takes up errors of their weight."""
        return self.observations.means if self.fitting.bias_correction else {}

    def encode(
        self,
        layer: str,
        values: FloatArray,
        axis: int,
        importance: FloatArray | None = None,
        *,
        bias: bool = False,
        order: npt.NDArray[np.intp] | None = None,
    ) -> Encoded:
        """The weight of ``layer`` on its grid.

        A weight that layers share is encoded once: for the first of them. One that reads it
        transposed gets the same levels, transposed and with nothing packed; see
        :attr:`transposes`.

        Args:
            values: in the layout that the kernel reads.
            axis: dimension of the output channels.
            importance: see :class:`~quantkit.codecs.base.Weight`.
            bias: whether the layer has one that will be corrected; see
                :meth:`~quantkit.graph.operators.Operator.bias_place`.
            order: where each input of a channel lies among those of the float layer's weight; None
                where the kernel reads them in the same order.
        """
        codec = self.codecs[layer]
        moments = self.observations.matrices.get(layer)
        by_channel = np.moveaxis(values, axis, 0)
        content = hashlib.sha256(np.ascontiguousarray(by_channel).data).digest()
        largest = self.largest_levels.get(layer)
        key = (codec, axis, values.shape, largest, content)
        transposed = (codec, 1 - axis, values.shape[::-1], largest, content)
        if key not in self._encoded:
            if values.ndim == 2 and transposed in self._encoded:
                self._encoded[key] = transposed_encoding(self._encoded[transposed])
            elif self.dry:
                self._encoded[key] = _random(codec, values.shape, axis, content, largest)
            else:
                # Errors in the mean of the result are the bias's affair.
                centered = bias and layer in self.means
                chosen = None
                if moments is not None:
                    places = None if order is None else order.astype(np.int64).tobytes()
                    chosen = MomentsChoice(moments, centered, places)
                weight = Weight(
                    values,
                    axis,
                    importance,
                    scale=self.observations.scales.get(layer),
                    largest_level=largest,
                    channel_importance=self.observations.channel_use.get(layer),
                    for_estimate=self.for_estimates,
                )
                self._encoded[key] = self._encode(codec, weight, chosen)
        return self._encoded[key]

    def encode_layer(
        self, weight: LayerWeight, channels: npt.NDArray[np.int64] | None = None
    ) -> Encoded:
        """A constant weight on its grid, in the layout in which its operator stores it.

        Args:
            channels: which output channels, as if the layer had no others; None: all.
        """
        values = require_constant(weight)
        rows = weight.rows()
        axis = weight.axis(rows.ndim)
        moments = None if weight.stands_left else self.second_moments.get(weight.name)
        importance = weight.by_input(values.shape, moments)
        if channels is not None:
            rows = np.take(rows, channels, axis=axis)
            if importance is not None and importance.shape[axis] > 1:
                importance = np.take(importance, channels, axis=axis)
        return self.encode(weight.name, rows, axis, importance, bias=weight.has_bias)

    def _encode(
        self,
        codec: Codec,
        weight: Weight,
        chosen: MomentsChoice | None,
    ) -> Encoded:
        def encode() -> Encoded:
            moments = None if chosen is None else self.encodings.moments(chosen)
            encoded = codec.encode(replace(weight, second_moments=moments))
            _require_within(encoded, codec, weight.largest_level)
            return encoded

        key = encoding_key(codec, weight, chosen)
        return self.encodings.get(key, encode)

    def is_plain(self, layer: str) -> bool:
        """Whether the weight of ``layer`` is stored as the kernel reads it: one byte each."""
        return self.codecs[layer].name == "int8"

    def is_float(self, layer: str) -> bool:
        """Whether the decoder of ``layer`` gives the float weight itself, without a scale."""
        return self.codecs[layer].name in _FLOATS

    def add(self, editor: GraphEditor, layer: str, name: str, encoded: Encoded) -> str:
        """Put the levels into the graph as a constant like ``name``; returns its name."""
        for stored_name, stored in self._stored.items():
            if stored.encoded is encoded:
                return stored_name
        stored_name = editor.constant(name, encoded.levels)
        self.remember(layer, stored_name, encoded)
        return stored_name

    def add_scale(self, editor: GraphEditor, name: str, encoded: Encoded) -> str:
        """Put the scales of all channels into the graph, as :meth:`add` does the levels."""
        for stored_name, scale in self._scales.items():
            if scale is encoded.scale:
                return stored_name
        stored_name = editor.constant(name, encoded.scale)
        self._scales[stored_name] = encoded.scale
        return stored_name

    def remember(self, layer: str, name: str, encoded: Encoded) -> None:
        """The initializer ``name`` holds the levels of ``layer``."""
        self._stored[name] = _Stored(self.codecs[layer], encoded)

    def is_corrected(self, layer: str) -> bool:
        """Whether errors of the weight of ``layer`` are large enough for its bias to take up."""
        return is_fitted(self.codecs[layer], limited=layer in self.largest_levels)

    def keep_unmerged(self, layer: str, bias: str) -> None:
        """The initializer ``bias`` is that of ``layer``, and of no other.

        Biases that are equal, such as zeros, may differ once they are corrected. Stored as one
        where they are not, they would make the size of the file depend on the numbers in it.
        """
        if self.is_corrected(layer):
            # The second is what onnxruntime.quantization makes of it.
            self._unmerged |= {bias, f"{bias}_quantized"}

    @property
    def stored(self) -> Mapping[str, Encoded]:
        """What each remembered initializer holds."""
        return {name: each.encoded for name, each in self._stored.items()}

    @property
    def transposes(self) -> frozenset[str]:
        """Remembered initializers whose levels lie in another one, transposed."""
        return frozenset(n for n, stored in self._stored.items() if not stored.encoded.packed)

    def pack(self, model: onnx.ModelProto) -> frozenset[str]:
        """Replace the remembered initializers of ``model`` by their packed form, in place.

        Returns:
            names of small packed tensors, such as tables of levels, and of corrected biases. Those
            of two layers may happen to be equal: merged, they would make the size of the file
            depend on the numbers in it.
        """
        graph = model.graph
        builder = DecodeBuilder(_free_prefix(graph))
        packed: list[onnx.TensorProto] = []
        replaced: set[str] = set()
        small: set[str] = set()
        zeros = self._zeros(graph, builder)
        for tensor in graph.initializer:
            stored = self._stored.get(tensor.name)
            if stored is None or not stored.encoded.packed:
                continue
            levels, axis = stored.encoded.levels, stored.encoded.axis
            names = {
                part.part.name: f"{tensor.name}.{part.part.name}" for part in stored.encoded.packed
            }
            before = len(builder.nodes)
            if own := zeros.get(tensor.name):
                value = decode_in_rounds(stored.codec, levels.shape, axis, names, own, builder)
            else:
                value = stored.codec.decode(levels.shape, axis, names, builder)
            if len(builder.nodes) == before:
                # Stored as the kernel reads it.
                continue
            _rename_output(builder.nodes[before:], value, tensor.name)
            packed += [part.to_tensor(names[part.part.name]) for part in stored.encoded.packed]
            small |= {
                names[part.part.name]
                for part in stored.encoded.packed
                if part.part.bytes < _SMALL_BYTES
            }
            replaced.add(tensor.name)
        kept = [_copy(tensor) for tensor in graph.initializer if tensor.name not in replaced]
        nodes = [*builder.nodes, *(copy_node(node) for node in graph.node)]
        del graph.initializer[:]
        graph.initializer.extend([*kept, *builder.constants.values(), *packed])
        del graph.node[:]
        graph.node.extend(nodes)
        return frozenset(small | self._unmerged)

    def _zeros(self, graph: onnx.GraphProto, builder: DecodeBuilder) -> dict[str, list[str]]:
        """The zeros of the rounds in which each packed initializer's pieces are unpacked.

        By name; empty where all are unpacked at once. See :mod:`quantkit.codecs.rounds`.
        """
        present = {tensor.name for tensor in graph.initializer}
        all_stored = {n: each for n, each in self._stored.items() if n in present}
        rounds = rounds_for(sum(each.encoded.levels.size for each in all_stored.values()))
        sizes = {
            name: piece_sizes(each.codec, each.encoded.levels.shape, each.encoded.axis)
            for name, each in all_stored.items()
            if any(is_delayed(part.part) for part in each.encoded.packed)
        }
        if rounds == 1 or not sizes:
            return {}
        numbers = allotted([*sizes.values()], rounds)
        zeros = round_zeros(1 + max(number for own in numbers for number in own), builder)
        return {
            name: [zeros[number] for number in own]
            for name, own in zip(sizes, numbers, strict=True)
        }


def quantized_weight(
    weight: LayerWeight,
    codec: CodecChoice,
    observations: Observations,
    fitting: PtqSettings,
    encodings: Encodings | None = None,
    *,
    channels: npt.NDArray[np.int64] | None = None,
    largest_level: int | None = None,
) -> FloatArray:
    """The weight of a float layer as ``codec`` would rebuild it, as the layer's node reads it.

    Args:
        encodings: to share with others; None: none.
        channels: output channels to rebuild for an estimate of the error that ``codec`` makes: as
            if the layer had no others, and with less effort (``for_estimate`` of
            :class:`~quantkit.codecs.base.Weight`). None: all, as they are stored.
        largest_level: see :class:`~quantkit.codecs.base.Weight`.

    Raises:
        ModelError: the weight is not a constant tensor.
        InputError: the codec cannot keep to ``largest_level``.
    """
    shape = list(require_constant(weight).shape)
    if channels is not None:
        shape[weight.axis(len(shape))] = len(channels)
        scales = {
            name: np.take(scale, channels) if name == weight.name else scale
            for name, scale in observations.scales.items()
        }
        observations = replace(observations, scales=scales)
    store = WeightStore(
        {weight.name: codec.make()},
        observations,
        fitting,
        encodings=encodings or Encodings(memory=0),
        for_estimates=channels is not None,
        largest_levels={} if largest_level is None else {weight.name: largest_level},
    )
    return store.encode_layer(weight, channels).dequantized().reshape(shape)


def require_constant(weight: LayerWeight) -> FloatArray:
    """The weight as its node reads it.

    Raises:
        ModelError: it is not a constant tensor.
    """
    values = weight.array()
    if values is None:
        raise ModelError(f"layer {weight.name}: its weight is not a constant tensor")
    return values


def placed(editor: GraphEditor, node: onnx.NodeProto) -> LayerWeight:
    """The weight of a node that has one alone."""
    (weight,) = node_weights(editor, node)
    return weight


def _random(
    codec: Codec, shape: tuple[int, ...], axis: int, content: bytes, largest: int | None
) -> Encoded:
    # Two codecs, or two largest levels, give one weight, such as a tied embedding, scales that
    # differ; both are stored.
    ingredients = content + repr((codec, largest)).encode()
    seed = int.from_bytes(hashlib.sha256(ingredients).digest()[:8], "little")
    random = np.random.default_rng(seed)
    packed = blank(codec, shape, axis, seed)
    channels = shape[axis] if shape else 1
    if codec.name in _FLOATS:
        values = random.standard_normal(shape, np.float32)
        return Encoded(values, np.ones(channels, np.float32), axis, packed)
    levels = random.integers(-9, 9, shape).astype(np.int16 if codec.bits > 8 else np.int8)
    scale = random.uniform(1e-3, 2e-3, channels).astype(np.float32)
    return Encoded(levels, scale, axis, packed)


def _require_within(encoded: Encoded, codec: Codec, largest: int | None) -> None:
    """Refuse levels beyond ``largest``, which codecs of other packages may give."""
    if largest is None or not encoded.levels.size:
        return
    found = max(int(encoded.levels.max()), -int(encoded.levels.min()))
    if found > largest:
        raise InputError(
            f"codec {codec.name} gives levels up to {found}, and sums of products overflow beyond "
            f"{largest} on processors without VNNI: choose another codec, or --target-cpu vnni"
        )


def transposed_encoding(encoded: Encoded) -> Encoded:
    """The same levels for a layer that reads the weight transposed; nothing packed."""
    return Encoded(encoded.levels.T, encoded.scale, 1 - encoded.axis, ())


def _free_prefix(graph: onnx.GraphProto) -> str:
    """What no name of ``graph`` begins with, where a number of a decoder's value follows."""
    taken = {name for node in graph.node for name in node.output}
    taken |= {tensor.name for tensor in graph.initializer}
    prefix = ":"
    while any(re.match(f"{prefix}[0-9a-f]{{4}}", name) for name in taken):
        prefix += ":"
    return prefix


def _rename_output(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new


def _copy(tensor: onnx.TensorProto) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    return copy
