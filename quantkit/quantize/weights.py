"""The weights of one file on their way: float, on an integer grid, packed.

Rewriting puts each weight into the graph as a plain integer initializer, in the layout that its
kernel reads. :meth:`WeightStore.pack` then replaces each by its packed tensors and the nodes that
rebuild it. What the kernel computes is the same before and after, bit for bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx

from quantkit.codecs.base import Codec, DecodeBuilder, Encoded, Weight, blank
from quantkit.graph.editor import GraphEditor, copy_node

FloatArray = npt.NDArray[np.float32]

# Where each operator keeps its weight; MatMul's may be either operand.
_POSITIONS = {"Conv": (1,), "ConvTranspose": (1,), "Gemm": (1,), "MatMul": (1, 0), "Gather": (0,)}
_FLOATS = ("float16", "float32")
_SMALL_BYTES = 4096


@dataclass(frozen=True)
class _Stored:
    codec: Codec
    encoded: Encoded


@dataclass
class WeightStore:
    """Encodes the weights of one model, each once, and remembers where they lie.

    Args:
        codecs: by layer name.
        second_moments: mean square of each input channel of a layer, by layer name; may lack any.
        means: mean of each input channel, likewise; where there is one, the layer's bias takes up
            what the weight's error adds to the result on average.
        dry: encode random weights of the right types and shapes: the graph will have its exact
            size, in a fraction of the time, and no use.
    """

    codecs: Mapping[str, Codec]
    second_moments: Mapping[str, FloatArray] = field(default_factory=dict)
    means: Mapping[str, FloatArray] = field(default_factory=dict)
    dry: bool = False
    _encoded: dict[tuple[Codec, int, tuple[int, ...], bytes], Encoded] = field(default_factory=dict)
    _stored: dict[str, _Stored] = field(default_factory=dict)

    def encode(
        self, layer: str, values: FloatArray, axis: int, importance: FloatArray | None = None
    ) -> Encoded:
        """The weight of ``layer`` on its grid.

        A weight that layers share is encoded once: for the first of them. One that reads it
        transposed gets the same levels, transposed and with nothing packed; see
        :attr:`transposes`.

        Args:
            values: in the layout that the kernel reads.
            axis: dimension of the output channels.
            importance: see :class:`~quantkit.codecs.base.Weight`.
        """
        codec = self.codecs[layer]
        by_channel = np.moveaxis(values, axis, 0)
        content = hashlib.sha256(np.ascontiguousarray(by_channel).data).digest()
        key = (codec, axis, values.shape, content)
        transposed = (codec, 1 - axis, values.shape[::-1], content)
        if key not in self._encoded:
            if values.ndim == 2 and transposed in self._encoded:
                self._encoded[key] = _transposed(self._encoded[transposed])
            elif self.dry:
                self._encoded[key] = _random(codec, values.shape, axis, content)
            else:
                self._encoded[key] = codec.encode(Weight(values, axis, importance))
        return self._encoded[key]

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

    def remember(self, layer: str, name: str, encoded: Encoded) -> None:
        """The initializer ``name`` holds the levels of ``layer``."""
        self._stored[name] = _Stored(self.codecs[layer], encoded)

    @property
    def transposes(self) -> frozenset[str]:
        """Remembered initializers whose levels lie in another one, transposed."""
        return frozenset(n for n, stored in self._stored.items() if not stored.encoded.packed)

    def pack(self, model: onnx.ModelProto) -> frozenset[str]:
        """Replace the remembered initializers of ``model`` by their packed form, in place.

        Returns:
            names of small packed tensors, such as tables of levels. Those of two layers may happen
            to be equal: merged, they would make the size of the file depend on the numbers in it.
        """
        graph = model.graph
        builder = DecodeBuilder()
        packed: list[onnx.TensorProto] = []
        replaced: set[str] = set()
        small: set[str] = set()
        for tensor in graph.initializer:
            stored = self._stored.get(tensor.name)
            if stored is None or not stored.encoded.packed:
                continue
            levels, axis = stored.encoded.levels, stored.encoded.axis
            names = {
                part.part.name: f"{tensor.name}.{part.part.name}" for part in stored.encoded.packed
            }
            builder.prefix = tensor.name
            before = len(builder.nodes)
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
        return frozenset(small)


def weight_position(editor: GraphEditor, node: onnx.NodeProto) -> int | None:
    """Which input of ``node`` is its weight; None when that is not a constant tensor."""
    positions = _POSITIONS.get(node.op_type, ())
    return next((p for p in positions if editor.array(node.input[p]) is not None), None)


def channel_axis(editor: GraphEditor, node: onnx.NodeProto, rank: int) -> int:
    """The dimension of a layer's output channels in its weight, as the float node reads it."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gather":
        return int(editor.attributes(node).get("axis", 0)) % rank
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm" and editor.attributes(node).get("transB", 0):
        return 0
    return rank - 1


def by_input(
    editor: GraphEditor, node: onnx.NodeProto, shape: tuple[int, ...], values: FloatArray | None
) -> FloatArray | None:
    """One number per input channel of a layer, to broadcast to its weight as the node reads it."""
    if values is None or node.op_type == "ConvTranspose":
        return None
    if node.op_type == "Conv":
        groups = int(editor.attributes(node).get("group", 1))
        by_group = values.reshape(groups, 1, -1)
        channels = np.repeat(by_group, shape[0] // groups, axis=1).reshape(shape[0], -1)
        return channels.reshape(*channels.shape, *(1,) * (len(shape) - 2))
    inputs_first = channel_axis(editor, node, len(shape)) == len(shape) - 1
    return values.reshape((-1, 1) if inputs_first else (1, -1))


def corrected_bias(
    bias: FloatArray, values: FloatArray, encoded: Encoded, mean_input: FloatArray | None
) -> FloatArray:
    """The bias that keeps the mean of the layer's result where it was.

    b − Σⱼ (w̃ⱼ − wⱼ) E[xⱼ] (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization
    and Bias Correction", equation 17), with the mean input of the calibration clips. Behind a ReLU
    no input is negative, so errors of one sign add up; a table of levels that is itself rounded
    to int8 makes such errors.

    Args:
        bias: of any shape, one number per output channel.
        values, encoded: the weight, and what became of it.
        mean_input: broadcasts to ``values``; None leaves the bias as it is.
    """
    if mean_input is None:
        return bias
    error = (encoded.dequantized() - values) * mean_input
    others = tuple(i for i in range(values.ndim) if i != encoded.axis)
    shift = error.sum(axis=others, dtype=np.float64).astype(np.float32)
    corrected: FloatArray = bias - shift.reshape(bias.shape)
    return corrected


def _random(codec: Codec, shape: tuple[int, ...], axis: int, content: bytes) -> Encoded:
    seed = int.from_bytes(content[:8], "little")
    random = np.random.default_rng(seed)
    packed = blank(codec, shape, axis, seed)
    channels = shape[axis] if shape else 1
    if codec.name in _FLOATS:
        values = random.standard_normal(shape, np.float32)
        return Encoded(values, np.ones(channels, np.float32), axis, packed)
    levels = random.integers(-9, 9, shape).astype(np.int16 if codec.bits > 8 else np.int8)
    scale = random.uniform(1e-3, 2e-3, channels).astype(np.float32)
    return Encoded(levels, scale, axis, packed)


def _transposed(encoded: Encoded) -> Encoded:
    return Encoded(encoded.levels.T, encoded.scale, 1 - encoded.axis, ())


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
