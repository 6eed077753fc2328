"""What a layer of the float graph would multiply by if its weight were stored by some codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx

from quantkit.arrays import FloatArray
from quantkit.calibration.observations import Observations
from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import LayerWeight, layer_weights, node_weights
from quantkit.graph.plan import Compute
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.choices.target_cpu import largest_levels
from quantkit.quantization.encodings import Encodings
from quantkit.quantization.kernels.eligibility import reason_to_stay_float, reason_to_stay_plain
from quantkit.quantization.kernels.fast_fir import faster_bits, summed_weights
from quantkit.quantization.kernels.static import StaticLayout
from quantkit.quantization.rewrite import static_layout
from quantkit.quantization.tied_weights import shared_weights
from quantkit.quantization.weights import quantized_weight, require_constant

Channels = npt.NDArray[np.int64]

# What multiplies bytes, where there is a kernel for it.
_OF_BYTES: tuple[Compute, ...] = ("static", "dynamic")


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """What a finished file has of one layer.

    Args:
        values: its weight, as the float layer's node reads it.
        taken_off: (output channels,) by which its bias is less than the float layer's; None: by
            nothing.
    """

    values: FloatArray
    taken_off: FloatArray | None = None


@dataclass(frozen=True)
class FloatLayer:
    """A layer whose weight is a plain float32 constant, or some of its output channels.

    Args:
        placed: where the graph has the weight.
        position: of the node in the main graph that the layer lies in.
        axis: dimension of the output channels in the weight.
        values: the weight as the node reads it.
        mean_input: of the inputs that each weight meets, broadcast to ``values``; None where no
            bias can take up what errors of the weight add on average.
        channels: which output channels these are; None: all.
        stored: what a file has of it, where one is looked at.
    """

    placed: LayerWeight
    position: int
    axis: int
    values: FloatArray
    mean_input: FloatArray | None = None
    channels: Channels | None = None
    stored: StoredWeight | None = None

    @property
    def name(self) -> str:
        return self.placed.name

    @property
    def node(self) -> onnx.NodeProto:
        """The node that computes the layer."""
        return self.placed.node

    @property
    def weight(self) -> str:
        """Name of the weight's value."""
        return self.placed.value

    @property
    def output_axis(self) -> int:
        """Dimension of the output channels in what the layer computes."""
        return self.placed.operator.result_axis

    def shift(self, weight: FloatArray) -> FloatArray | None:
        """What a corrected bias takes off the result, (channels, …), broadcast to the result.

        See :func:`quantkit.quantization.kernels.bias_correction.corrected_bias`. Of the weight in
        a file, it is what the bias in the file has.
        """
        if self.is_stored(weight):
            assert self.stored is not None
            taken_off = self.stored.taken_off
            return None if taken_off is None else self.over_positions(taken_off, weight.ndim)
        if self.mean_input is None:
            return None
        error = (weight - self.values) * self.mean_input
        others = tuple(i for i in range(error.ndim) if i != self.axis)
        shift: FloatArray = error.sum(axis=others, dtype=np.float64).astype(np.float32)
        return self.over_positions(shift, error.ndim)

    def is_stored(self, weight: FloatArray) -> bool:
        """Whether ``weight`` is the one in a file, and not one that a codec would make."""
        return self.stored is not None and weight is self.stored.values

    def over_positions(self, values: FloatArray, ndim: int) -> FloatArray:
        """(output channels,) in a shape to broadcast to a result of ``ndim`` dimensions."""
        return values.reshape(-1, *[1] * (ndim - 2)) if self.output_axis == 1 else values

    @property
    def _has_parts(self) -> bool:
        return self.placed.operator.is_affine and self.placed.is_plain_product

    def sampled(self, count: int) -> FloatLayer:
        """``count`` output channels, evenly spread; the layer itself where it must stay whole.

        That is one with few more channels, with channels in groups, or an embedding, whose
        channels are its rows.
        """
        channels = self.values.shape[self.axis]
        grouped = any(a.name == "group" and a.i != 1 for a in self.node.attribute)
        left = self.node.input[0] == self.weight
        if channels < 2 * count or grouped or left or not self._has_parts:
            return self
        chosen = (np.arange(count) * channels) // count
        means = self.mean_input
        if means is not None and means.shape[self.axis] > 1:
            means = np.take(means, chosen, axis=self.axis)
        values = np.take(self.values, chosen, axis=self.axis)
        return replace(self, values=values, mean_input=means, channels=chosen, stored=None)


class CandidateWeights:
    """The weights of the layers of one float graph, and what codecs make of them.

    Args:
        model: is not changed.
        layers: of it.
        observations: for the codecs and the biases; see
            :func:`quantkit.quantization.observe.observe`.
        fitting: how levels are found.
        encodings: shared with other steps; None: not shared.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        layers: Sequence[Layer],
        observations: Observations,
        fitting: PtqSettings,
        encodings: Encodings | None = None,
    ) -> None:
        self._encodings = encodings or Encodings()
        self.editor = GraphEditor(model)
        self.observations = observations
        self.fitting = fitting
        self._placed = layer_weights(self.editor)
        self._positions = {
            name: position
            for position, node in enumerate(self.editor.nodes)
            for name in self._within(node)
        }
        self._groups = {name: group for group in shared_weights(model, layers) for name in group}

    def layer(self, name: str) -> FloatLayer | None:
        """The layer called ``name``; None if its weight can only stay as it is."""
        placed = self._placed[name]
        if reason_to_stay_plain(placed):
            return None
        values = require_constant(placed)
        return FloatLayer(
            placed=placed,
            position=self._positions[name],
            axis=placed.axis(values.ndim),
            values=values,
            mean_input=None if placed.stands_left else self._mean_input(placed, values),
        )

    def _within(self, top: onnx.NodeProto) -> list[str]:
        """Names of the layers of a node of the main graph, those in its bodies included."""
        return [
            each.name
            for scope, node in self.editor.within(top)
            for each in node_weights(scope, node)
        ]

    def layout(self, choices: Mapping[str, LayerChoice]) -> StaticLayout:
        """Where the grids of the static layers among ``choices`` lie."""
        return static_layout(self.editor.model, choices)

    def sharing(self, name: str) -> tuple[str, ...]:
        """All layers with the same weight as that of layer ``name``, itself included."""
        return self._groups.get(name, (name,))

    def largest_levels(self, choices: Mapping[str, LayerChoice] | None = None) -> dict[str, int]:
        """Of layers whose weight has a limit on the target processors, by name.

        Args:
            choices: what the layers are; None: whatever an integer kernel could compute is limited.
        """
        if choices is None:
            integer = [
                name
                for name, placed in self._placed.items()
                if not all(reason_to_stay_float(placed, each) for each in _OF_BYTES)
            ]
        else:
            integer = [name for name, choice in choices.items() if choice.multiplies_bytes]
        summed = summed_weights(self._placed, choices or {})
        return largest_levels(self.fitting.target_cpu, integer, set(self._groups.values()), summed)

    def faster_bits(self, name: str) -> tuple[int, ...]:
        """Bits of the input of layer ``name`` of which each lets it be computed faster, falling."""
        placed = self._placed[name]
        return (
            ()
            if reason_to_stay_float(placed, "static")
            else faster_bits(placed.editor, placed.node)
        )

    def level_summed(self, name: str, bits: int) -> int | None:
        """The largest level of a layer whose kernel adds up weights for an input of ``bits``.

        None: there is no such kernel, and levels are those of :meth:`largest_levels`.
        """
        choice = {name: LayerChoice("static", INT8, bits, "min-max")}
        if not summed_weights(self._placed, choice):
            return None
        return self.largest_levels(choice)[name]

    def stored_by(
        self, layer: FloatLayer, codec: CodecChoice, largest_level: int | None
    ) -> FloatArray:
        """The weight of ``layer`` as ``codec`` would rebuild it.

        Layers that share a weight get the levels of the first of them.

        Args:
            largest_level: one of :meth:`largest_levels`, or None.
        """
        if layer.channels is not None:
            return self._stored(layer, codec, largest_level)
        first = self.sharing(layer.name)[0]
        leader = layer if first == layer.name else self.layer(first)
        assert leader is not None
        weight = self._stored(leader, codec, largest_level)
        return weight if leader is layer else _in_layout(weight, leader.axis, layer.axis)

    def _stored(
        self, layer: FloatLayer, codec: CodecChoice, largest_level: int | None
    ) -> FloatArray:
        return quantized_weight(
            layer.placed,
            codec,
            self.observations,
            self.fitting,
            self._encodings,
            channels=layer.channels,
            largest_level=largest_level,
        )

    def replacements(self, layer: FloatLayer, weight: FloatArray) -> dict[str, FloatArray]:
        """Weights of the other layers that share that of ``layer``, by the value's name."""
        found: dict[str, FloatArray] = {}
        for name in self.sharing(layer.name):
            other = self.layer(name)
            if other is not None and name != layer.name:
                found[other.weight] = _in_layout(weight, layer.axis, other.axis)
        return found

    def _mean_input(self, placed: LayerWeight, values: FloatArray) -> FloatArray | None:
        means = self.observations.means.get(placed.name)
        if not self.fitting.bias_correction or means is None or not placed.has_bias:
            return None
        return placed.by_input(values.shape, means)


def _in_layout(weight: FloatArray, axis: int, wanted: int) -> FloatArray:
    """A weight with its output channels in dimension ``axis``, with them in ``wanted``."""
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(weight, axis, 0), 0, wanted))
