"""Layers that can be split, the ranks worth trying, and the graph with some of them split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import onnx

from quantkit.calibration.calibrate import Feed, Watched, calibrate
from quantkit.errors import FormatError
from quantkit.graph.dead_code import drop_unread_initializers
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import Halves, LayerWeight, layer_weights
from quantkit.graph.plan import Structure
from quantkit.passes.masked_reduction import mask_fewer_channels
from quantkit.structure.low_rank import (
    Covariance,
    LowRank,
    Spectrum,
    low_input_rank,
    low_rank,
    stand_in,
)
from quantkit.structure.output_moments import ChannelMoments

#: What the part of a split layer that has its taps is called behind the layer's name, if there is
#: a last part, which keeps the name; and the part that makes fewer channels of the inputs.
WITHIN, FIRST = ".in", ".first"
#: Integer kernels compute so many output channels at a time.
MULTIPLE = 8

# Two kernels of so few channels take as long as one, and labels are all needed.
_FEWEST_CHANNELS = 64
# Covariances of more channels take more memory and time than the layer is worth.
_MOST_CHANNELS = 4096
# Taps from which fewer input channels save more than the first part costs.
_FEWEST_TAPS = 4
#: Shares of the largest rank at which a layer is tried, and of its input channels.
SHARES = (0.125, 0.1875, 0.25, 0.3125, 0.375, 0.5, 0.625, 0.75)
INPUT_SHARES = (0.375, 0.5, 0.625, 0.75)


@dataclass(frozen=True)
class Splittable:
    """A layer that could be two or three.

    Args:
        outputs: its channels.
        inputs: weights of each of them.
        taps: of them that meet the same input channel.
    """

    outputs: int
    inputs: int
    taps: int = 1

    @property
    def channels(self) -> int:
        """That it reads."""
        return self.inputs // self.taps

    @property
    def full_rank(self) -> int:
        """The largest rank that its matrix can have."""
        return min(self.outputs, self.inputs)

    @property
    def largest_rank(self) -> int:
        """The largest with which both halves together multiply less than the whole."""
        return (self.outputs * self.inputs - 1) // (self.outputs + self.inputs)

    def products(self, ranks: Structure) -> float:
        """Multiplications of all parts, as a share of those of the whole."""
        read, made = ranks.inputs or self.channels, ranks.outputs or self.outputs
        parts = read * self.taps * made
        parts += ranks.outputs * self.outputs + ranks.inputs * self.channels
        return parts / (self.outputs * self.inputs)

    def rank(self, share: float) -> int:
        """``share`` of the full rank, rounded to what kernels compute at a time."""
        return _whole_kernels(share * self.full_rank)

    def input_rank(self, share: float) -> int:
        """``share`` of the channels that it reads, rounded likewise."""
        return _whole_kernels(share * self.channels)

    def nearest(self, share: float) -> int:
        """The rank worth trying that is nearest to ``share`` of the largest."""
        return min(self.ranks, key=lambda rank: abs(rank - share * self.largest_rank))

    @property
    def ranks(self) -> tuple[int, ...]:
        """Those of the outputs worth trying, from the smallest: they save products."""
        tried = sorted({self.rank(share) for share in SHARES})
        return tuple(rank for rank in tried if self.saves(Structure(outputs=rank)))

    @property
    def input_ranks(self) -> tuple[int, ...]:
        """The same of the inputs; none for layers of few taps."""
        if self.taps < _FEWEST_TAPS or self.channels < _FEWEST_CHANNELS:
            return ()
        tried = sorted({self.input_rank(share) for share in INPUT_SHARES})
        return tuple(rank for rank in tried if self.saves(Structure(inputs=rank)))

    def saves(self, ranks: Structure) -> bool:
        """Whether the layer can have these ranks, and multiplies less with them."""
        fits = ranks.outputs <= self.full_rank and ranks.inputs < self.channels
        return fits and (self.taps > 1 or not ranks.inputs) and self.products(ranks) < 1.0

    def parts(self, name: str, ranks: Structure) -> tuple[str, ...]:
        """What its parts are called, the first one first."""
        first = (name + FIRST,) if ranks.inputs else ()
        return (*first, name + WITHIN, name) if ranks.outputs else (*first, name)


def _whole_kernels(channels: float) -> int:
    return max(MULTIPLE, MULTIPLE * round(channels / MULTIPLE))


@dataclass(frozen=True)
class Seen:
    """What clips show of a layer that could be split.

    Args:
        output: its principal components.
        inputs: of the channels that it reads; None for a layer of one tap.
    """

    output: Spectrum
    inputs: Covariance | None = None


def splittable_layers(model: onnx.ModelProto) -> dict[str, Splittable]:
    """The layers of a float graph that could be two and save something, by name, in its order.

    That is a product of an activation by one constant matrix that no other layer reads:
    convolutions without groups and matrix products, outside of bodies.
    """
    found = {}
    weights = layer_weights(GraphEditor(model))
    for name, weight in weights.items():
        shape = weight.matrix_shape
        if shape is None or {name + WITHIN, name + FIRST} & weights.keys():
            continue
        each = Splittable(*shape, weight.taps)
        if each.full_rank >= _FEWEST_CHANNELS and each.outputs <= _MOST_CHANNELS and each.ranks:
            found[name] = each
    return found


def see_layers(
    model: onnx.ModelProto,
    names: Iterable[str],
    feeds: Iterable[Feed],
    *,
    advance: Callable[[float], None] | None = None,
) -> dict[str, Seen]:
    """What ``feeds`` show of layers ``names`` of the float graph ``model``.

    Of a layer without a place for a bias, principal components are those around zero.

    Args:
        advance: see :func:`~quantkit.calibration.calibrate.calibrate`.

    Raises:
        CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
    """
    weights = layer_weights(GraphEditor(model))
    followed = {name: _Followed.of(weights[name]) for name in names}
    watched: dict[str, Watched] = {}
    for name, each in followed.items():
        for value, moments in each.watched.items():
            before = watched[value].trackers if value in watched else ()
            watched[value] = Watched(name, (*before, moments))
    calibrate(model, watched, feeds, advance=advance)
    return {name: each.seen() for name, each in followed.items()}


@dataclass(frozen=True)
class _Followed:
    """What is watched of one layer: its output, or its input where that has fewer channels, or both
    where it has taps."""

    weight: LayerWeight
    inputs: ChannelMoments | None
    outputs: ChannelMoments | None

    @classmethod
    def of(cls, weight: LayerWeight) -> _Followed:
        shape, node, editor = weight.matrix_shape, weight.node, weight.editor
        assert shape is not None
        inputs = ChannelMoments(weight.operator.input_axis(editor, node))
        outputs = ChannelMoments(weight.operator.output_axis(editor, node))
        if weight.operator.is_product and shape[1] < shape[0]:
            return cls(weight, inputs, None)
        return cls(weight, inputs if weight.taps > 1 else None, outputs)

    @property
    def watched(self) -> dict[str, ChannelMoments]:
        """Trackers by the value that they follow."""
        values = (
            (str(self.weight.node.input[0]), self.inputs),
            (
                str(self.weight.node.output[0]),
                self.outputs,
            ),
        )
        return {value: moments for value, moments in values if moments is not None}

    def seen(self) -> Seen:
        centred = self.weight.can_take_bias
        inputs = None if self.inputs is None else self.inputs.covariance(centred=centred)
        if self.outputs is None:
            assert inputs is not None
            return Seen(Spectrum.through(self.weight.matrix(), inputs))
        found, bias = self.outputs.covariance(centred=centred), self.weight.own_bias()
        if bias is not None:
            found = replace(found, mean=found.mean - bias)
        return Seen(Spectrum.of(found), inputs)


def split_layers(
    model: onnx.ModelProto, structure: Mapping[str, Structure], seen: Mapping[str, Seen] | None
) -> None:
    """Make two or three of each layer in ``structure``, in place.

    The same graph, ranks and clips give the same bytes.

    Args:
        seen: of these layers; None: the parts have the right shapes and any numbers.

    Raises:
        FormatError: a layer cannot be split, or not with these ranks.
    """
    for name, ranks in structure.items():
        layer = _splittable(model, name, ranks)
        found = None if seen is None else seen[name]
        if ranks.outputs:
            _split(model, name, name + WITHIN, partial(_by_output, layer, ranks.outputs, found))
        if ranks.inputs:
            within = name + WITHIN if ranks.outputs else name
            _split(model, within, name + FIRST, partial(_by_input, layer, ranks, found))
    if structure:
        mask_fewer_channels(model)
        drop_unread_initializers(model.graph)


def _splittable(model: onnx.ModelProto, name: str, ranks: Structure) -> Splittable:
    weights = layer_weights(GraphEditor(model))
    shape = weights[name].matrix_shape if name in weights else None
    if shape is None or {name + WITHIN, name + FIRST} & weights.keys():
        raise FormatError(
            f"layer {name} cannot be split: it is no product by a constant matrix of its own"
        )
    layer = Splittable(*shape, weights[name].taps)
    if not layer.saves(ranks):
        raise FormatError(
            f"layer {name} cannot have rank {ranks}: its parts would not multiply less than the "
            f"whole of {layer.outputs} × {layer.inputs}, whose largest rank that saves something "
            f"is {layer.largest_rank}"
        )
    return layer


def _split(
    model: onnx.ModelProto,
    name: str,
    first: str,
    split: Callable[[LayerWeight], tuple[LowRank, bool]],
) -> None:
    editor = GraphEditor(model)
    weight = layer_weights(editor)[name]
    halves, by_input = split(weight)
    parts = Halves(first, halves.reduce, halves.expand, halves.shift)
    make = weight.operator.behind_fewer_channels if by_input else weight.operator.in_two
    editor.replace(weight.node, make(editor, weight.node, parts))
    editor.finish()


def _by_output(
    layer: Splittable, rank: int, seen: Seen | None, weight: LayerWeight
) -> tuple[LowRank, bool]:
    if seen is None:
        return stand_in((rank, layer.inputs), (layer.outputs, rank), weight.name), False
    return low_rank(weight.matrix(), seen.output, rank), False


def _by_input(
    layer: Splittable, ranks: Structure, seen: Seen | None, weight: LayerWeight
) -> tuple[LowRank, bool]:
    if seen is None or seen.inputs is None:
        expand = ranks.outputs or layer.outputs, ranks.inputs * layer.taps
        return stand_in((ranks.inputs, layer.channels), expand, weight.name), True
    return low_input_rank(weight.matrix(), seen.inputs, ranks.inputs), True
