"""Layers that can be two, the ranks worth trying, and the graph with some of them split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx

from quantkit.calibration.calibrate import Feed, Watched, calibrate
from quantkit.errors import FormatError
from quantkit.graph.dead_code import drop_unread_initializers
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import Halves, LayerWeight, layer_weights
from quantkit.structure.low_rank import LowRank, Spectrum, low_rank, stand_in
from quantkit.structure.output_moments import ChannelMoments

#: What the first of a layer's halves is called behind its name; the second keeps the name.
FIRST_HALF = ".in"
#: Integer kernels compute so many output channels at a time.
MULTIPLE = 8

# Two kernels of so few channels take as long as one, and labels are all needed.
_FEWEST_CHANNELS = 64
# Covariances of more channels take more memory and time than the layer is worth.
_MOST_CHANNELS = 4096
#: Shares of the largest rank at which a layer is tried.
SHARES = (0.125, 0.1875, 0.25, 0.3125, 0.375, 0.5, 0.625, 0.75)


@dataclass(frozen=True)
class Splittable:
    """A layer that could be two.

    Args:
        outputs: its channels.
        inputs: weights of each of them.
    """

    outputs: int
    inputs: int

    @property
    def full_rank(self) -> int:
        """The largest rank that its matrix can have."""
        return min(self.outputs, self.inputs)

    @property
    def largest_rank(self) -> int:
        """The largest with which both halves together multiply less than the whole."""
        return (self.outputs * self.inputs - 1) // (self.outputs + self.inputs)

    def products(self, rank: int) -> float:
        """Multiplications of both halves, as a share of those of the whole."""
        return rank * (self.outputs + self.inputs) / (self.outputs * self.inputs)

    def rank(self, share: float) -> int:
        """``share`` of the full rank, rounded to what kernels compute at a time."""
        return max(MULTIPLE, MULTIPLE * round(share * self.full_rank / MULTIPLE))

    def nearest(self, share: float) -> int:
        """The rank worth trying that is nearest to ``share`` of the largest."""
        return min(self.ranks, key=lambda rank: abs(rank - share * self.largest_rank))

    @property
    def ranks(self) -> tuple[int, ...]:
        """Those worth trying, from the smallest: they save products."""
        tried = sorted({self.rank(share) for share in SHARES})
        return tuple(rank for rank in tried if rank <= self.largest_rank)


def splittable_layers(model: onnx.ModelProto) -> dict[str, Splittable]:
    """The layers of a float graph that could be two and save something, by name, in its order.

    That is a product of an activation by one constant matrix that no other layer reads:
    convolutions without groups and matrix products, outside of bodies.
    """
    found = {}
    weights = layer_weights(GraphEditor(model))
    for name, weight in weights.items():
        shape = weight.matrix_shape
        if shape is None or name + FIRST_HALF in weights:
            continue
        each = Splittable(*shape)
        if each.full_rank >= _FEWEST_CHANNELS and each.outputs <= _MOST_CHANNELS and each.ranks:
            found[name] = each
    return found


def spectra(
    model: onnx.ModelProto,
    names: Iterable[str],
    feeds: Iterable[Feed],
    *,
    advance: Callable[[float], None] | None = None,
) -> dict[str, Spectrum]:
    """The principal components of what layers ``names`` of the float graph ``model`` compute.

    Of a layer without a place for a bias they are those around zero.

    Args:
        advance: see :func:`~quantkit.calibration.calibrate.calibrate`.

    Raises:
        CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
    """
    weights = layer_weights(GraphEditor(model))
    trackers = {name: _Followed.of(weights[name]) for name in names}
    watched: dict[str, Watched] = {}
    for name, each in trackers.items():
        before = watched[each.value].trackers if each.value in watched else ()
        watched[each.value] = Watched(name, (*before, each.moments))
    calibrate(model, watched, feeds, advance=advance)
    return {name: each.spectrum() for name, each in trackers.items()}


@dataclass(frozen=True)
class _Followed:
    """What is watched of one layer: its output, or its input where that has fewer channels."""

    weight: LayerWeight
    value: str
    moments: ChannelMoments
    is_input: bool

    @classmethod
    def of(cls, weight: LayerWeight) -> _Followed:
        shape, node = weight.matrix_shape, weight.node
        assert shape is not None
        operator, editor = weight.operator, weight.editor
        if operator.is_product and shape[1] < shape[0]:
            axis = operator.input_axis(editor, node)
            return cls(weight, str(node.input[0]), ChannelMoments(axis), True)
        axis = operator.output_axis(editor, node)
        return cls(weight, str(node.output[0]), ChannelMoments(axis), False)

    def spectrum(self) -> Spectrum:
        found = self.moments.covariance(centred=self.weight.can_take_bias)
        if self.is_input:
            return Spectrum.through(self.weight.matrix(), found)
        bias = self.weight.own_bias()
        return Spectrum.of(found if bias is None else replace(found, mean=found.mean - bias))


def split_layers(
    model: onnx.ModelProto, ranks: Mapping[str, int], output: Mapping[str, Spectrum] | None
) -> dict[str, LowRank]:
    """Make two of each layer in ``ranks``, in place; returns their halves.

    The same graph, ranks and spectra give the same bytes.

    Args:
        output: of these layers; None: the halves have the right shapes and any numbers.

    Raises:
        FormatError: a layer cannot be two, or not with this rank.
    """
    editor = GraphEditor(model)
    weights = layer_weights(editor)
    found = {}
    for name, rank in ranks.items():
        weight = weights.get(name)
        matrix_shape = None if weight is None else weight.matrix_shape
        if weight is None or matrix_shape is None or name + FIRST_HALF in weights:
            raise FormatError(
                f"layer {name} cannot be split into two of rank {rank}: it is no product by a "
                "constant matrix of its own"
            )
        shape = Splittable(*matrix_shape)
        if not 1 <= rank <= shape.largest_rank:
            raise FormatError(
                f"layer {name} cannot have rank {rank}: from 1 to {shape.largest_rank} its two "
                f"halves multiply less than the whole of {shape.outputs} × {shape.inputs}"
            )
        if output is None:
            halves = stand_in(shape.outputs, shape.inputs, rank)
        else:
            halves = low_rank(weight.matrix(), output[name], rank)
        found[name] = halves
        parts = Halves(name + FIRST_HALF, halves.reduce, halves.expand, halves.shift)
        nodes: Sequence[onnx.NodeProto] = weight.operator.in_two(editor, weight.node, parts)
        editor.replace(weight.node, nodes)
    if found:
        editor.finish()
        drop_unread_initializers(model.graph)
    return found
